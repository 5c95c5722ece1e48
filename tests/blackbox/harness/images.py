"""Images made by hand, and what is to be told of one: no library stands between a test and the bytes."""
import functools
import struct
import zlib

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


# ---- PNG (W3C PNG, third edition) ----

def chunk(kind, data):
	return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, idat, depth=8, colour=2, interlace=0, extra=b""):
	head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
	return PNG_SIGNATURE + head + extra + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def png(width, height, pixel=lambda x, y: (x * 7 % 256, y * 5 % 256, (x + y) % 256), extra=b""):
	"""RGB, 8 bits, one filter byte 0 a row."""
	rows = b"".join(b"\0" + bytes(v for x in range(width) for v in pixel(x, y)) for y in range(height))
	return png_of(width, height, zlib.compress(rows), extra=extra)


def png_blank(width, height, depth=8, colour=2, interlace=0):
	"""A whole and valid image of nothing but zeros, made without holding it: the deflate stream is one block again and again, its Adler-32 is known."""
	bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
	if interlace:
		passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
		sizes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in passes]
	else:
		sizes = [(width, height)]
	total = sum(h * (1 + (w * bits + 7) // 8) for w, h in sizes if w)
	block = 1 << 20
	one = zlib.compressobj(9, zlib.DEFLATED, -15)
	repeated = one.compress(bytes(block)) + one.flush(zlib.Z_FULL_FLUSH)
	last = zlib.compressobj(9, zlib.DEFLATED, -15)
	rest = last.compress(bytes(total % block)) + last.flush()
	adler = (total % 65521) << 16 | 1
	return png_of(width, height, b"\x78\xda" + repeated * (total // block) + rest + struct.pack(">I", adler), depth, colour, interlace)


def png_size(data):
	assert data[:8] == PNG_SIGNATURE and data[12:16] == b"IHDR", data[:32]
	return struct.unpack(">II", data[16:24])


def png_pixels(data):
	"""Rows of tuples; 8 bits, not interlaced, no palette."""
	width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
	assert depth == 8 and interlace == 0 and colour in (0, 2, 4, 6), (depth, colour, interlace)
	channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
	at, idat = 8, b""
	while at < len(data):
		size, kind = struct.unpack(">I4s", data[at:at + 8])
		if kind == b"IDAT":
			idat += data[at + 8:at + 8 + size]
		at += 12 + size
	raw, stride, before, rows = zlib.decompress(idat), width * channels, bytearray(width * channels), []
	for y in range(height):
		kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
		for i in range(stride):
			left = row[i - channels] if i >= channels else 0
			up, corner = before[i], before[i - channels] if i >= channels else 0
			guess = left + up - corner
			nearest = min((left, up, corner), key=lambda v: abs(guess - v))
			row[i] = (row[i] + (0, left, up, (left + up) // 2, nearest)[kind]) % 256
		rows.append([tuple(row[x * channels:(x + 1) * channels]) for x in range(width)])
		before = row
	return rows


# ---- JPEG (ITU-T T.81) ----

def jpeg_segments(data):
	"""(marker, offset, length with its two bytes) up to the first scan."""
	assert data[:2] == b"\xff\xd8", data[:16]
	at = 2
	while at + 4 <= len(data):
		assert data[at] == 0xff, hex(data[at])
		marker, size = data[at + 1], struct.unpack(">H", data[at + 2:at + 4])[0]
		yield marker, at, size
		if marker == 0xda:
			return
		at += 2 + size


def jpeg_frame(data):
	return next(at for marker, at, _ in jpeg_segments(data) if marker in (0xc0, 0xc1, 0xc2))


def jpeg_size(data):
	at = jpeg_frame(data)
	height, width = struct.unpack(">HH", data[at + 5:at + 9])
	return width, height


def jpeg_with_size(data, width, height):
	"""The same bytes with another size in the header."""
	at = jpeg_frame(data)
	return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


def exif(orientation, place=b""):
	"""An APP1 segment (Exif 2.3) with an orientation, and with a text that must not survive."""
	entries = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)]
	if place:
		entries.append(struct.pack("<HHII", 0x010e, 2, len(place) + 1, 8 + 2 + 12 * 2 + 4))
	entries.sort()
	tiff = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + struct.pack("<I", 0) + (place + b"\0" if place else b"")
	body = b"Exif\0\0" + tiff
	return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def jpeg_with_exif(data, orientation, place=b""):
	return data[:2] + exif(orientation, place) + data[2:]


def jpeg_of_scans(width, height, scans):
	"""Progressive and grey: one scan of flat DC values, then the same empty AC scan again and again (T.81 annex G); 2^14 blocks of 8 by 8, or a multiple."""
	blocks = ((width + 7) // 8) * ((height + 7) // 8)
	head = b"\xff\xd8" + b"\xff\xdb\0\x43\0" + b"\x01" * 64
	head += b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\0"
	one_code = b"\x01" + b"\0" * 15
	head += b"\xff\xc4" + struct.pack(">H", 20) + b"\0" + one_code + b"\0" # DC: code 0 means category 0
	head += b"\xff\xc4" + struct.pack(">H", 20) + b"\x10" + one_code + b"\xe0" # AC: code 0 means an end of band for 2^14 blocks and more
	def scan(first, last, bits):
		bits += "1" * (-len(bits) % 8)
		data = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
		return b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, first, last, 0) + data
	assert blocks % (1 << 14) == 0, "the only run there is a code for has 2^14 blocks"
	return head + scan(0, 0, "0" * blocks) + scan(1, 63, "0" * 15 * (blocks >> 14)) * scans + b"\xff\xd9"


# ---- GIF (89a) ----

def gif(width, height, frames=1, at=(0, 0)):
	"""Frames of one colour, each the whole canvas unless put elsewhere."""
	table = bytes(v for i in range(4) for v in (i * 80, 255 - i * 80, 40))
	parts = [b"GIF89a" + struct.pack("<HHBBB", width, height, 0x81, 0, 0) + table]
	for n in range(frames):
		parts.append(b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", *at, width, height, 0) + b"\x02" + _lzw(width * height, n % 4) + b"\0")
	return b"".join(parts) + b"\x3b"


@functools.lru_cache(None)
def _lzw(count, colour):
	"""Codes of 3 bits with a clear before the table grows: large, and simple."""
	bits, at = [], 0
	while at < count:
		bits.append(4)
		take = min(2, count - at)
		bits += [colour] * take
		at += take
	bits.append(5)
	value, n, out = 0, 0, bytearray()
	for code in bits:
		value |= code << n
		n += 3
		while n >= 8:
			out.append(value & 255)
			value, n = value >> 8, n - 8
	if n:
		out.append(value & 255)
	return b"".join(bytes([len(out[i:i + 255])]) + bytes(out[i:i + 255]) for i in range(0, len(out), 255))
