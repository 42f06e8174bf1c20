"""Limits of a connection whose other end is a stand-in: what no socket shows at once, since the kernel buffers."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from ratchet.params import load_params
from ratchet.serving.connections import Pool, protocol_within
from ratchet.serving.settings import LIVE_FILE, ServeParams


@pytest.mark.parametrize(("reads_on", "is_cut"), [(False, True), (True, False)])
def test_a_client_that_reads_nothing_is_cut(reads_on: bool, is_cut: bool) -> None:
    closed: list[str] = []
    params = load_params(ServeParams, "serve", LIVE_FILE).model_copy(update={"write_timeout_s": 0.05})

    async def connect() -> Mock:
        config = uvicorn.Config(_answer_nothing, log_config=None, ws="none")
        protocol = protocol_within(Pool(params, closed.append))(config, ServerState(), {})
        transport = Mock(spec=asyncio.Transport)
        transport.get_extra_info.return_value = None
        protocol.connection_made(transport)
        protocol.pause_writing()
        if reads_on:
            protocol.resume_writing()
        await asyncio.sleep(0.2)
        protocol.connection_lost(ConnectionAbortedError())
        return transport

    transport = asyncio.run(connect())
    assert (transport.abort.called, closed) == (is_cut, ["unread"] if is_cut else [])


async def _answer_nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError
