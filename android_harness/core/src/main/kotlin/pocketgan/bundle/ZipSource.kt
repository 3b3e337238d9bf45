package pocketgan.bundle

import java.io.InputStream
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Path
import java.util.zip.CRC32
import pocketgan.json.quote

const val MAX_FILES = 10_000
internal const val CHUNK_BYTES = 1 shl 20
internal val LOCAL_MARK = byteArrayOf(0x50, 0x4b, 3, 4)

private const val MAX_DIRECTORY_BYTES = 8 shl 20
private const val END_BYTES = 22
private const val END64_BYTES = 56
private const val LOCATOR64_BYTES = 20
private const val CENTRAL_BYTES = 46
private const val LOCAL_BYTES = 30
private const val CENTRAL_MARK = 0x02014b50
private const val END_MARK = 0x06054b50
private const val END64_MARK = 0x06064b50
private const val LOCATOR64_MARK = 0x07064b50
private const val STORED = 0
private const val UTF8_FLAG = 0x0800
private const val TYPE_BITS = 0xF000
private const val REGULAR = 0x8000
private const val LINK = 0xA000
private val FULL = 0xFFFFFFFFu.toULong()

/** Header fields of one ZIP member; [offset] is where its local header starts. */
private class Member(val name: String, val flags: Int, val crc: UInt, val size: ULong, val offset: ULong)

/** The six numbers of an end record. */
private class End(
    val disk: ULong, val firstDisk: ULong, val here: ULong, val count: ULong, val length: ULong, val start: ULong,
) {
    fun numbers() = listOf(disk, firstDisk, here, count, length, start)
}

/**
 * The members of a strict ZIP, checked when it is opened: the form that `core/bundle/strict_zip.py` describes. Members
 * are stored, one after the other from the first byte to the directory; headers agree; nothing lies outside.
 */
class ZipSource(path: Path) : Source {
    private val file = RandomAccessFile(path.toFile(), "r")
    private val members: Map<String, Member>
    private val starts: Map<String, Long>
    override val sizes: Map<String, Long>

    init {
        try {
            val (members, directoryStart) = readDirectory()
            starts = dataStarts(members, directoryStart)
            this.members = members.associateBy { it.name }
            sizes = members.associate { it.name to it.size.toLong() }
        } catch (problem: Throwable) {
            file.close()
            throw problem
        }
    }

    override fun open(name: String): InputStream = Stored(members.getValue(name), starts.getValue(name))

    override fun close() = file.close()

    private fun readDirectory(): Pair<List<Member>, Long> {
        val size = file.length()
        if (size < END_BYTES) throw DamageException("is cut off: too short for a ZIP")
        val record = bytesAt(size - END_BYTES, END_BYTES)
        val mark = record.getInt()
        var end = End(u16(record), u16(record), u16(record), u16(record), u32(record), u32(record))
        if (mark != END_MARK || u16(record) != 0uL) {
            throw DamageException("does not end as a ZIP does: it is cut off, or something was appended")
        }
        var stop = size - END_BYTES
        val wide = readEnd64(stop)
        if (wide != null) {
            val full = listOf(0xFFFFuL, 0xFFFFuL, 0xFFFFuL, 0xFFFFuL, FULL, FULL)
            for ((index, short) in end.numbers().withIndex()) {
                if (short != wide.numbers()[index] && short != full[index]) {
                    throw DamageException("its two ZIP end records disagree")
                }
            }
            end = wide
            stop -= END64_BYTES + LOCATOR64_BYTES
        }
        if (end.disk != 0uL || end.firstDisk != 0uL || end.here != end.count) {
            throw DamageException("is one piece of a split ZIP")
        }
        if (end.count > MAX_FILES.toULong() || end.length > MAX_DIRECTORY_BYTES.toULong()) {
            throw DamageException("holds too many files (${end.count}; at most $MAX_FILES)")
        }
        if (end.start > stop.toULong() || end.length != stop.toULong() - end.start) {
            throw DamageException("has bytes before or behind the ZIP")
        }
        val directory = bytesAt(end.start.toLong(), end.length.toInt())
        val members = List(end.count.toInt()) { readCentral(directory) }
        if (directory.hasRemaining()) throw DamageException("its ZIP directory has bytes that belong to no file")
        mustDiffer(members.map { it.name })
        return members to end.start.toLong()
    }

    /** The end record of archives above 4 GiB, or null; [stop] is where the ordinary end record starts. */
    private fun readEnd64(stop: Long): End? {
        if (stop < END64_BYTES + LOCATOR64_BYTES) return null
        val locator = bytesAt(stop - LOCATOR64_BYTES, LOCATOR64_BYTES)
        if (locator.getInt() != LOCATOR64_MARK) return null
        val (disk, offset, disks) = Triple(u32(locator), u64(locator), u32(locator))
        val expected = stop - LOCATOR64_BYTES - END64_BYTES
        if (disk != 0uL || disks != 1uL || offset != expected.toULong()) {
            throw DamageException("its ZIP end record is not where it should be")
        }
        val record = bytesAt(expected, END64_BYTES)
        if (record.getInt() != END64_MARK || u64(record) != (END64_BYTES - 12).toULong()) {
            throw DamageException("its ZIP end record is damaged")
        }
        record.getInt() // versions
        return End(u32(record), u32(record), u64(record), u64(record), u64(record), u64(record))
    }

    /** The directory record at the buffer's position, which is then at the next one. */
    private fun readCentral(directory: ByteBuffer): Member {
        require(directory.remaining() >= CENTRAL_BYTES) { "the ZIP directory ends within a record" }
        val mark = directory.getInt()
        directory.getInt() // versions
        val flags = u16(directory).toInt()
        val method = u16(directory).toInt()
        directory.getInt() // time and date
        val (crc, packed, size) = Triple(directory.getInt().toUInt(), u32(directory), u32(directory))
        val (nameLength, extraLength, commentLength) = Triple(u16(directory), u16(directory), u16(directory))
        val disk = u16(directory)
        directory.getShort() // internal attributes
        val attributes = directory.getInt()
        val offset = u32(directory)
        if (mark != CENTRAL_MARK) throw DamageException("its ZIP directory is damaged")
        val lacks = directory.remaining() < (nameLength + extraLength).toInt()
        if (lacks || commentLength != 0uL || disk != 0uL) {
            throw DamageException("its ZIP directory is damaged or holds comments")
        }
        val raw = ByteArray(nameLength.toInt()).also(directory::get)
        val extra = ByteArray(extraLength.toInt()).also(directory::get)
        if (raw.any { it < 0 }) throw DamageException("file name ${quote(String(raw))} is not ASCII")
        val name = String(raw, Charsets.US_ASCII)
        mustBeSafe(name)
        mustBeStoredFile(name, attributes, flags, method)
        val (wideSize, widePacked, wideOffset) = widen(extra, listOf(size, packed, offset), name)
        if (wideSize != widePacked) throw DamageException("$name states two sizes, $wideSize and $widePacked bytes")
        return Member(name, flags, crc, wideSize, wideOffset)
    }

    private fun mustBeStoredFile(name: String, attributes: Int, flags: Int, method: Int) {
        val kind = (attributes ushr 16) and TYPE_BITS
        if ((kind != 0 && kind != REGULAR) || attributes and 0x10 != 0) {
            val what = if (kind == LINK) "link" else "folder or device"
            throw DamageException("$name is a $what; a bundle holds files only")
        }
        if (flags and 1 != 0) throw DamageException("$name is encrypted")
        if (method != STORED || flags and UTF8_FLAG.inv() != 0) {
            throw DamageException(
                "$name is compressed or streamed; bundles are stored as `pocketgan bundle pack` writes them",
            )
        }
    }

    /** 32-bit header values, the full ones replaced by the 64-bit values of the zip64 extra field. */
    private fun widen(extra: ByteArray, values: List<ULong>, name: String): List<ULong> {
        if (extra.isEmpty()) return values
        val full = values.count { it == FULL }
        val fields = littleEndian(extra)
        val fits = full > 0 && extra.size == 4 + 8 * full
        if (!fits || u16(fields) != 1uL || u16(fields) != (8 * full).toULong()) {
            throw DamageException("the ZIP header of $name holds fields that bundles do not use")
        }
        return values.map { if (it == FULL) u64(fields) else it }
    }

    /** Where each member's bytes start; members fill the file up to the directory. */
    private fun dataStarts(members: List<Member>, directoryStart: Long): Map<String, Long> {
        val starts = HashMap<String, Long>()
        var position = 0uL
        for (member in members.sortedBy { it.offset }) {
            if (member.offset != position) {
                throw DamageException("has hidden bytes before ${member.name}, or files that overlap")
            }
            val header = bytesAt(position.toLong(), LOCAL_BYTES)
            val mark = header.getInt()
            header.getShort() // version needed
            val flags = u16(header).toInt()
            val method = u16(header).toInt()
            header.getInt() // time and date
            val (crc, packed, size) = Triple(header.getInt().toUInt(), u32(header), u32(header))
            val (nameLength, extraLength) = u16(header).toInt() to u16(header).toInt()
            val name = readUpTo(nameLength)
            val extra = readUpTo(extraLength)
            if (mark != littleEndian(LOCAL_MARK).getInt() || !name.contentEquals(member.name.toByteArray())) {
                throw DamageException("the two ZIP headers of ${member.name} disagree about its name")
            }
            val wide = widen(extra, listOf(size, packed), member.name)
            val agrees = flags == member.flags && method == STORED && crc == member.crc
            if (!agrees || wide.any { it != member.size }) {
                throw DamageException("the two ZIP headers of ${member.name} disagree about its size or form")
            }
            val start = position + (LOCAL_BYTES + nameLength + extraLength).toULong()
            starts[member.name] = start.toLong()
            // A size near 2^64 must not come round to a place in the file.
            position = if (member.size > Long.MAX_VALUE.toULong()) ULong.MAX_VALUE else start + member.size
        }
        if (position != directoryStart.toULong()) {
            throw DamageException("has hidden bytes before the ZIP directory, or is cut off")
        }
        return starts
    }

    private fun bytesAt(position: Long, count: Int): ByteBuffer {
        file.seek(position)
        val bytes = readUpTo(count)
        require(bytes.size == count) { "it ends within a header" }
        return littleEndian(bytes)
    }

    private fun readUpTo(count: Int): ByteArray {
        val bytes = ByteArray(count)
        var there = 0
        while (there < count) {
            val more = file.read(bytes, there, count - there)
            if (more < 0) return bytes.copyOf(there)
            there += more
        }
        return bytes
    }

    /** A member's bytes; its CRC is judged when they end. */
    private inner class Stored(private val member: Member, private var position: Long) : InputStream() {
        private val crc = CRC32()
        private var left = member.size.toLong()

        override fun read(): Int {
            val one = ByteArray(1)
            return if (read(one, 0, 1) < 0) -1 else one[0].toInt() and 0xff
        }

        override fun read(into: ByteArray, offset: Int, length: Int): Int {
            if (left == 0L) {
                if (crc.value.toUInt() == member.crc) return -1
                throw DamageException("${member.name} is damaged: its CRC is not the one in the ZIP header")
            }
            file.seek(position)
            val count = file.read(into, offset, minOf(length.toLong(), left).toInt())
            if (count < 0) throw DamageException("ends within ${member.name}")
            crc.update(into, offset, count)
            position += count
            left -= count
            return count
        }
    }
}

private fun littleEndian(bytes: ByteArray): ByteBuffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)

private fun u16(buffer: ByteBuffer): ULong = buffer.getShort().toUShort().toULong()

private fun u32(buffer: ByteBuffer): ULong = buffer.getInt().toUInt().toULong()

private fun u64(buffer: ByteBuffer): ULong = buffer.getLong().toULong()
