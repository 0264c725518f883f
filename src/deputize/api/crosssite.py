"""Requests from other people's pages in a browser: they change nothing here."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from deputize.api.problem import Problem

_OURS = ("same-origin", "none")
"""What a browser says of a request from a page of this origin, and of what somebody typed in."""


def refuse_foreign(headers: Headers, hosts: frozenset[str], *, cookie: bool) -> None:
    """Raises `Problem` 403 for a request to change something that another origin's page has made.

    `hosts` are the names that this server goes by. With a `cookie` it has to be known to come from a page of
    ours: without Sec-Fetch-Site (a browser sends it to https and to this machine alone) by Origin or Referer.
    """
    site, origin, referer = headers.get("sec-fetch-site"), headers.get("origin"), headers.get("referer")
    if (origin and not _own(origin, hosts)) or (site is not None and site not in _OURS):
        raise Problem(403, "a page of another origin may not act here")
    if cookie and site is None and not origin and not (referer and _own(referer, hosts)):
        said = "this request has a session's cookie, and does not say that it comes from a page of ours"
        raise Problem(403, f"{said} (Sec-Fetch-Site, Origin or Referer); programs use tokens instead")


def host_of(address: str) -> str:
    """The host and port of an address, in small letters; empty where there is none."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _own(address: str, hosts: frozenset[str]) -> bool:
    return host_of(address) in hosts
