#!/usr/bin/env python3
"""Carries TCP connections: relay.py LISTEN-ADDRESS PORT ADDRESS PORT."""

import asyncio
import sys


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(listen, listen_port, address, port):
    async def carry(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(address, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            pump(reader, far_writer), pump(far_reader, writer)
        )

    server = await asyncio.start_server(carry, listen, int(listen_port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
