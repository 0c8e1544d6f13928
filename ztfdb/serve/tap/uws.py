"""The asynchronous half of TAP: UWS 1.1."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from ztfdb.serve.errors import ClientGone, ServiceError
from ztfdb.serve.limits import Limits
from ztfdb.serve.params import Parameters, number, shown
from ztfdb.serve.service import Service, base_url, caller_of
from ztfdb.serve.tap.jobs import JobRunner
from ztfdb.serve.votable import CONTENT_TYPE, attribute, error_document, text
from ztfdb.serve.work import until_gone
from ztfdb.sky.times import SECONDS_PER_DAY
from ztfdb.store.tap_jobs import DONE, Job

MAX_WAIT_S = 50.0
"""Longest wait for a change of a job, seconds: proxies give up a silent service after 60 s."""

LOOK_S = 0.1
LOOK_LATE_S = 1.0
"""Seconds between looks at a job, at first and after a while."""

PHASES = ("PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED", "UNKNOWN", "HELD", "SUSPENDED", "ARCHIVED")
_UWS = (
    'xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="1.1"'
)
_ALONE = " " + _UWS.removesuffix(' version="1.1"')
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


async def jobs(request: Request, service: Service, params: Parameters) -> Response:
    """List the caller's jobs, or create one; without a token the list is empty, only a job's address gives access."""
    runner, limits, caller = _runner(service), service.limits, caller_of(request)
    if request.method == "GET":
        return Response(await _listed(request, runner, caller, params), media_type="text/xml")
    kept = [(name, value) for name, value in params.pairs if name not in ("PHASE", "ACTION", "WAIT")]
    await asyncio.to_thread(runner.check_room, kept, params.files)
    job = await asyncio.to_thread(
        runner.store.create, kept, days=limits.job_days, duration=limits.async_s, files=params.files,
        base=base_url(request), owner=caller,
    )  # fmt: skip
    if (params.one("PHASE") or "").upper() == "RUN":
        await asyncio.to_thread(runner.submit, job)
    return _see(request, job.id)


async def job(request: Request, service: Service, params: Parameters) -> Response:
    """Show a job, wait for it, change or delete it."""
    runner = _runner(service)
    found = await _found(request, runner)
    if request.method == "DELETE" or (params.one("ACTION") or "").upper() == "DELETE":
        await asyncio.to_thread(runner.store.change, found.id, abort=1)
        await _until_over(runner, found)
        await asyncio.to_thread(runner.store.delete, found.id)
        return RedirectResponse(f"{base_url(request)}/tap/async", 303)
    if request.method == "POST":
        await _change(runner, found, params, service.limits)
        return _see(request, found.id)
    found = await _waited(request, runner, found, params)
    return Response(document(found, f"{base_url(request)}/tap/async/{found.id}"), media_type="text/xml")


async def part(request: Request, service: Service, params: Parameters) -> Response:
    """Show or change one part of a job."""
    runner = _runner(service)
    found = await _found(request, runner)
    name = request.path_params["part"]
    if request.method == "POST":
        words = {"phase": "PHASE", "destruction": "DESTRUCTION", "executionduration": "EXECUTIONDURATION"}
        if name == "parameters":
            await _add_parameters(runner, found, params)
        elif name in words and params.one(words[name]) is not None:
            await _change(runner, found, params, service.limits)
        else:
            raise ServiceError(f"{shown(name)} of a job cannot be changed in this way")
        return _see(request, found.id)
    if name == "error":
        body = error_document(found.error) if found.error else b""
        return Response(body, media_type=CONTENT_TYPE) if body else Response("", media_type="text/plain")
    if name == "results":
        return Response(f"{_HEAD}{_results(found, _address(request, found), True)}", media_type="text/xml")
    if name == "parameters":
        return Response(f"{_HEAD}{_parameters(found, True)}", media_type="text/xml")
    plain = {
        "phase": found.phase,
        "executionduration": f"{found.duration:.0f}",
        "destruction": _iso(found.destruction),
        "quote": "",
        "owner": found.owner or "",
    }
    if name not in plain:
        raise ServiceError(f"a job has no {shown(name)}", 404)
    return Response(plain[name], media_type="text/plain")


async def result(request: Request, service: Service, params: Parameters) -> Response:
    """Send the result of a job."""
    found = await _found(request, _runner(service))
    path: Path = _runner(service).store.result_path(found.id)
    if found.phase == "ERROR":
        return Response(error_document(found.error or "the job failed"), 400, media_type=CONTENT_TYPE)
    if found.phase != "COMPLETED" or not path.exists():
        raise ServiceError(f"the job has no result: it is {found.phase}", 404)
    return FileResponse(path, media_type=found.content_type)


def document(job: Job, address: str) -> str:
    """Return the document of a job."""
    failed = (
        f'<uws:errorSummary type="fatal" hasDetail="true"><uws:message>{text(job.error)}</uws:message>'
        "</uws:errorSummary>\n"
        if job.error
        else ""
    )
    return (
        f"{_HEAD}<uws:job {_UWS}>\n<uws:jobId>{job.id}</uws:jobId>\n{_run(job)}"
        f'{_owner(job)}<uws:phase>{job.phase}</uws:phase>\n<uws:quote xsi:nil="true"/>\n'
        f"<uws:creationTime>{_iso(job.created)}</uws:creationTime>\n"
        f"{_time('startTime', job.started)}{_time('endTime', job.ended)}"
        f"<uws:executionDuration>{job.duration:.0f}</uws:executionDuration>\n"
        f"<uws:destruction>{_iso(job.destruction)}</uws:destruction>\n"
        f"{_parameters(job)}{_results(job, address)}{failed}</uws:job>\n"
    )


def _owner(job: Job) -> str:
    return f"<uws:ownerId>{text(job.owner)}</uws:ownerId>\n" if job.owner else '<uws:ownerId xsi:nil="true"/>\n'


def _run(job: Job) -> str:
    run = next((value for name, value in job.parameters if name == "RUNID"), None)
    return f"<uws:runId>{text(run)}</uws:runId>\n" if run else ""


async def _listed(request: Request, runner: JobRunner, caller: str | None, params: Parameters) -> str:
    """Return the list of a caller's jobs, selected by ``PHASE``, ``AFTER`` and ``LAST``."""
    phases = {value.upper() for value in params.all("PHASE")}
    if wrong := sorted(phases - set(PHASES)):
        raise ServiceError(f"PHASE is {shown(wrong[0])}, expected one of {', '.join(PHASES)}")
    wanted = params.one("AFTER")
    after = None if wanted is None else _instant("AFTER", wanted)
    last = params.integer("LAST", low=1, high=2**31)
    found = [] if caller is None else await asyncio.to_thread(runner.store.owned, caller, after=after)
    kept = [one for one in found if not phases or one.phase in phases][-last if last else None :]
    return f"{_HEAD}<uws:jobs {_UWS}>{''.join(_reference(request, one) for one in kept)}</uws:jobs>\n"


def _reference(request: Request, job: Job) -> str:
    return (
        f'<uws:jobref id="{job.id}" xlink:type="simple" xlink:href={attribute(_address(request, job))}>'
        f"<uws:phase>{job.phase}</uws:phase>{_run(job)}{_owner(job)}"
        f"<uws:creationTime>{_iso(job.created)}</uws:creationTime></uws:jobref>\n"
    )


def _parameters(job: Job, alone: bool = False) -> str:
    inner = "".join(
        f"<uws:parameter id={attribute(name)}>{text(value)}</uws:parameter>" for name, value in job.parameters
    )
    return f"<uws:parameters{_ALONE if alone else ''}>{inner}</uws:parameters>\n"


def _results(job: Job, address: str, alone: bool = False) -> str:
    inner = ""
    if job.phase == "COMPLETED":
        kind = attribute(job.content_type or "")
        inner = f'<uws:result id="result" xlink:href={attribute(address + "/results/result")} mime-type={kind}/>'
    return f"<uws:results{_ALONE if alone else ''}>{inner}</uws:results>\n"


def _time(name: str, value: float | None) -> str:
    return f'<uws:{name} xsi:nil="true"/>\n' if value is None else f"<uws:{name}>{_iso(value)}</uws:{name}>\n"


def _iso(value: float) -> str:
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _runner(service: Service) -> JobRunner:
    assert isinstance(service.jobs, JobRunner)
    return service.jobs


def _address(request: Request, job: Job) -> str:
    return f"{base_url(request)}/tap/async/{job.id}"


def _see(request: Request, key: str) -> Response:
    return RedirectResponse(f"{base_url(request)}/tap/async/{key}", 303)


async def _found(request: Request, runner: JobRunner) -> Job:
    found = await asyncio.to_thread(runner.store.get, request.path_params["id"])
    if found is None or not found.seen_by(caller_of(request)):
        raise ServiceError("there is no such job", 404)
    return found


async def _change(runner: JobRunner, job: Job, params: Parameters, limits: Limits) -> None:
    phase = params.one("PHASE")
    if phase is not None:
        await _set_phase(runner, job, phase.upper())
    if (wanted := params.one("DESTRUCTION")) is not None:
        until = min(_instant("DESTRUCTION", wanted), job.created + limits.max_job_days * SECONDS_PER_DAY)
        await asyncio.to_thread(runner.store.change_destruction, job.id, until)
    if (seconds := params.one("EXECUTIONDURATION")) is not None:
        asked = number("EXECUTIONDURATION", seconds, 0.0)
        await asyncio.to_thread(runner.store.change, job.id, duration=min(asked or limits.async_s, limits.async_s))


async def _set_phase(runner: JobRunner, job: Job, phase: str) -> None:
    if phase == "RUN":
        if not await asyncio.to_thread(runner.submit, job):
            now = await asyncio.to_thread(runner.store.get, job.id)
            raise ServiceError(f"the job is {(now or job).phase}, only one that is PENDING can be run")
    elif phase == "ABORT":
        await asyncio.to_thread(runner.store.change, job.id, abort=1)
        if job.phase in ("PENDING", "QUEUED"):
            await asyncio.to_thread(runner.store.finish, job.id, "ABORTED")
        await _until_over(runner, job)
    else:
        raise ServiceError(f"PHASE is {shown(phase)}, expected RUN or ABORT")


async def _add_parameters(runner: JobRunner, job: Job, params: Parameters) -> None:
    if job.phase != "PENDING":
        raise ServiceError(f"the job is {job.phase}: its parameters cannot be changed any more")
    new = {name for name, _ in params.pairs}
    kept = [one for one in job.parameters if one[0] not in new] + list(params.pairs)
    await asyncio.to_thread(runner.check_room, kept, params.files)
    await asyncio.to_thread(runner.store.change_parameters, job.id, kept)
    if params.files:
        await asyncio.to_thread(runner.store.keep_files, job.id, params.files)


async def _until_over(runner: JobRunner, job: Job) -> None:
    """Wait until a stopped job has ended, which takes its thread a moment."""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        now = await asyncio.to_thread(runner.store.get, job.id)
        if now is None or now.phase != "EXECUTING":
            return
        await asyncio.sleep(LOOK_S)


async def _waited(request: Request, runner: JobRunner, job: Job, params: Parameters) -> Job:
    """Return the job when its phase has changed or after ``WAIT`` seconds."""
    wanted = params.one("WAIT")
    if wanted is None:
        return job
    seconds = number("WAIT", wanted, -1.0)
    deadline = time.monotonic() + (MAX_WAIT_S if seconds < 0 else min(seconds, MAX_WAIT_S))
    phase = (params.one("PHASE") or job.phase).upper()
    pause, gone = LOOK_S, asyncio.ensure_future(until_gone(request))
    try:
        while job.phase == phase and job.phase not in (*DONE, "PENDING") and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait({gone}, timeout=min(pause, left))
            if gone.done():
                raise ClientGone
            pause = min(1.25 * pause, LOOK_LATE_S)  # hundreds may wait, each for a long job
            job = await _found(request, runner)
    finally:
        gone.cancel()
    return job


def _instant(name: str, value: str) -> float:
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        raise ServiceError(f"{name} is {shown(value)}, expected a time such as 2026-01-31T12:00:00Z") from None
    return max((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp(), 0.0)
