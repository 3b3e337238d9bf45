package pocketgan.bundle

import java.io.BufferedInputStream
import java.io.InputStream

private const val BUFFER_BYTES = 1 shl 16

/** No protobuf of the form of onnx.proto. */
internal class NotOnnxException(message: String) : DamageException(message)

/** The wire format of protocol buffers, read one value after the other; [position] counts bytes from the start. */
internal class ProtobufStream(file: InputStream) {
    private val file = BufferedInputStream(file, BUFFER_BYTES)
    private val scratch = ByteArray(BUFFER_BYTES)

    var position = 0L
        private set

    /** Number and wire type of the next field, null where the message ends: with the file if [end] is null. */
    fun field(end: Long?): Field? {
        if (end != null && position >= end) return null
        val key = readVarint(end, mayEnd = end == null) ?: return null
        if (key ushr 3 == 0L) throw NotOnnxException("is no ONNX model")
        return Field(key ushr 3, (key and 7).toInt())
    }

    /** A number; negative ones are above 2^63. */
    fun varint(end: Long?): Long = readVarint(end, mayEnd = false)!!

    /** Where the value that begins with its length ends. */
    fun last(end: Long?): Long {
        val length = varint(end)
        val last = position + length
        // A length near 2^64 reaches beyond everything.
        val overflows = length < 0 || last < 0
        if (end != null && (overflows || last > end)) {
            throw NotOnnxException("is no ONNX model: a field reaches beyond its message")
        }
        return if (overflows) Long.MAX_VALUE else last
    }

    /** The bytes up to [last]. */
    fun bytes(last: Long): ByteArray {
        val made = ByteArray((last - position).toInt())
        var there = 0
        while (there < made.size) {
            val count = file.read(made, there, made.size - there)
            if (count < 0) throw NotOnnxException("is no ONNX model: it ends too early")
            there += count
        }
        position = last
        return made
    }

    /** Pass over [count] bytes. */
    fun skip(count: Long) {
        var left = count
        while (left > 0) {
            val step = file.read(scratch, 0, minOf(left, BUFFER_BYTES.toLong()).toInt())
            if (step < 0) throw NotOnnxException("is no ONNX model: it ends too early")
            left -= step
            position += step
        }
    }

    private fun readVarint(end: Long?, mayEnd: Boolean): Long? {
        var value = 0L
        var shift = 0
        while (true) {
            val byte = file.read()
            if (byte < 0 && mayEnd && shift == 0) return null
            if (byte >= 0) position += 1
            if (byte < 0 || shift > 63 || (end != null && position > end)) {
                throw NotOnnxException("is no ONNX model: it ends too early")
            }
            value = value or ((byte and 0x7f).toLong() shl shift)
            if (byte < 0x80) return value
            shift += 7
        }
    }

    /** A field's number and the kind of its value. */
    data class Field(val number: Long, val wire: Int)
}
