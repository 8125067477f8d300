#!/usr/bin/env python3
"""Odd: hosts that behave badly, each in its own way.

Usage: odd.py PLAN CERTIFICATE KEY

PLAN has an address and a kind a line. `tarpit` takes a connection and sends a byte a second; `slow` speaks TLS and
answers after a second and a half; `endless` sends a page without an end; `mute` takes a connection and says nothing.
"""

import asyncio
import ssl
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"


async def tarpit(reader, writer):
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


async def mute(reader, writer):
    await asyncio.sleep(3600)


async def slow(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(1.5)
    writer.write(HEAD + b"Content-Length: 2\r\n\r\nok")
    await writer.drain()


async def endless(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + b"\r\n<title>")
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()
        # The others want their turn, too.
        await asyncio.sleep(0.005)


KINDS = {"tarpit": (tarpit, False), "mute": (mute, False), "slow": (slow, True), "endless": (endless, True)}


def bounded(serve):
    async def one(reader, writer):
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()
    return one


async def main():
    plan, certificate, key = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with open(plan, encoding="ascii") as lines:
        hosts = [line.split() for line in lines]
    for address, kind in hosts:
        serve, inside = KINDS[kind]
        await asyncio.start_server(bounded(serve), address, 443, ssl=context if inside else None)
    await asyncio.Event().wait()


asyncio.run(main())
