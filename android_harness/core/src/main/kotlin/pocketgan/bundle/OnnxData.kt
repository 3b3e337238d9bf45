package pocketgan.bundle

import java.io.InputStream
import java.math.BigInteger
import java.nio.ByteBuffer
import java.nio.CharBuffer
import java.util.Locale
import pocketgan.json.quote

// The files that an ONNX model names: weights beside it, whose names a stranger may choose. A runtime opens what the
// model names, so it is looked at before. Read from the protobuf itself (onnx.proto), as core/bundle/onnx_data.py does.

private const val MOST_DEPTH = 64
private const val MOST_NAME_BYTES = 4096
private const val VARINT = 0
private const val FIXED64 = 1
private const val BYTES = 2
private const val GROUP_BEGINS = 3
private const val FIXED32 = 5

/** Messages by the fields that lead to tensors and nodes, and the fields' kinds. */
private val MESSAGES: Map<String, Map<Long, String>> =
    mapOf(
        "model" to mapOf(7L to "graph", 20L to "training", 25L to "function"),
        "training" to mapOf(1L to "graph", 2L to "graph"),
        "function" to mapOf(7L to "node", 11L to "attribute"),
        "graph" to mapOf(1L to "node", 5L to "tensor", 15L to "sparse"),
        "node" to mapOf(4L to "operator", 5L to "attribute"),
        "attribute" to
            mapOf(5L to "tensor", 6L to "graph", 10L to "tensor", 11L to "graph", 22L to "sparse", 23L to "sparse"),
        "sparse" to mapOf(1L to "tensor", 2L to "tensor"),
    )
private const val DIMS = 1L
private const val TYPE = 2L
private const val EXTERNAL = 13L
private const val LOCATION = 14L
private const val IS_EXTERNAL = 1L

/** Enums are read from the low bits of what is stored. */
private const val INT32 = 0xFFFFFFFFL

/** Bits of a number of each of TensorProto's data types that may lie outside. */
private val BITS: Map<Long, Long> =
    listOf(
        1 to 32, 2 to 8, 3 to 8, 4 to 16, 5 to 16, 6 to 32, 7 to 64, 9 to 8, 10 to 16, 11 to 64, 12 to 32, 13 to 64,
        14 to 64, 15 to 128, 16 to 16, 17 to 8, 18 to 8, 19 to 8, 20 to 8, 21 to 4, 22 to 4, 23 to 4, 24 to 8,
    ).associate { (type, bits) -> type.toLong() to bits.toLong() }

/** Nodes that hold, or name the file of, what another runtime compiled for one device. */
private val NAMES_FILES = setOf("EPContext")

/** Where a tensor's bytes lie: [location] as the model writes it, and the bytes from [start] to [end]. */
internal class ExternalData(val location: String, val start: BigInteger, val end: BigInteger)

/**
 * Refuse a model in a bundle that names other files than those of its entry, beside it or below.
 *
 * @param name the model's path in the bundle.
 * @param file its bytes.
 * @param sizes of the entry's files by their paths.
 * @throws DamageException what it names, as the end of a sentence about the model. What is no ONNX model names nothing:
 *   no runtime loads it.
 */
internal fun mustNameListedFiles(name: String, file: InputStream, sizes: Map<String, Long>) {
    val folder = name.substringBeforeLast("/", "")
    val found = try {
        ExternalDataSearch(ProtobufStream(file)).found()
    } catch (none: NotOnnxException) {
        return
    }
    for (data in found) {
        val location = data.location
        // As a path is read on every system; a name that is an address in memory, as ONNX Runtime has them, is no file.
        if (location.any { it == '\\' || it == '\u0000' || it == ':' } || location.startsWith("/")) {
            throw DamageException("names ${quote(location)}, which is no path in its folder")
        }
        val path = normalized("$folder/$location")
        if (!path.startsWith("$folder/")) {
            throw DamageException("names ${quote(location)}, which lies outside of its folder")
        }
        val size = sizes[path] ?: throw DamageException("names ${quote(location)}, which is no file in its folder")
        if (data.end > BigInteger.valueOf(size)) {
            val bytes = String.format(Locale.ROOT, "bytes %,d to %,d", data.start, data.end)
            val there = String.format(Locale.ROOT, "%,d", size)
            throw DamageException("names $bytes of ${quote(location)}, which has $there")
        }
    }
}

/** A relative path without empty and `.` parts, and with `..` carried out. */
private fun normalized(path: String): String {
    val parts = ArrayList<String>()
    for (part in path.split("/")) {
        when {
            part.isEmpty() || part == "." -> Unit
            part != ".." || parts.isEmpty() || parts.last() == ".." -> parts += part
            else -> parts.removeAt(parts.lastIndex)
        }
    }
    return parts.joinToString("/").ifEmpty { "." }
}

/** All tensors of a model whose bytes lie elsewhere, whatever graph or attribute they are in. */
private class ExternalDataSearch(private val stream: ProtobufStream) {
    private val found = ArrayList<ExternalData>()

    fun found(): List<ExternalData> {
        walk(null, "model", 0)
        return found
    }

    private fun walk(end: Long?, kind: String, depth: Int) {
        if (depth > MOST_DEPTH) throw DamageException("is nested too deeply")
        if (kind == "tensor") return tensor(end)
        while (true) {
            val (number, wire) = stream.field(end) ?: return
            val inner = MESSAGES.getValue(kind)[number].takeIf { wire == BYTES }
            if (inner == null) {
                skip(wire, end)
                continue
            }
            val last = stream.last(end)
            if (inner == "operator") {
                val operator = text(last)
                if (operator in NAMES_FILES) {
                    throw DamageException("holds a node $operator, which names files of its own; it cannot be checked")
                }
            } else {
                walk(last, inner, depth + 1)
            }
        }
    }

    private fun tensor(end: Long?) {
        val entries = HashMap<String, String>()
        var numbers = BigInteger.ONE
        var bits = 0L
        var external = false
        fun dimension(value: Long) {
            numbers *= BigInteger(java.lang.Long.toUnsignedString(value))
        }
        while (true) {
            val (number, wire) = stream.field(end) ?: break
            when {
                number == EXTERNAL && wire == BYTES -> {
                    val (key, value) = entry(stream.last(end))
                    if (entries.put(key, value) != null) {
                        throw DamageException("says twice what the ${quote(key)} of a tensor is")
                    }
                }
                number == DIMS && wire == VARINT -> dimension(stream.varint(end))
                number == DIMS && wire == BYTES -> {
                    val last = stream.last(end)
                    while (stream.position < last) dimension(stream.varint(last))
                }
                number == TYPE && wire == VARINT -> bits = BITS[stream.varint(end) and INT32] ?: 0
                number == LOCATION && wire == VARINT ->
                    external = (stream.varint(end) and INT32 == IS_EXTERNAL) || external
                else -> skip(wire, end)
            }
        }
        if (!external && entries.isEmpty()) return
        val location = entries["location"].orEmpty()
        if (location.isEmpty()) throw DamageException("has a tensor in another file and does not say in which")
        val start = number(entries["offset"] ?: "0")
        val seven = BigInteger.valueOf(7)
        val needed = (numbers * BigInteger.valueOf(bits) + seven).shiftRight(3)
        found += ExternalData(location, start, start + needed.max(number(entries["length"] ?: "0")))
    }

    /** Key and value of a StringStringEntryProto. */
    private fun entry(end: Long): Pair<String, String> {
        val pair = arrayOf("", "")
        while (true) {
            val (number, wire) = stream.field(end) ?: return pair[0] to pair[1]
            if (wire == BYTES && number in 1..2) pair[number.toInt() - 1] = text(stream.last(end)) else skip(wire, end)
        }
    }

    private fun number(text: String): BigInteger {
        if (text.isEmpty() || text.any { it !in '0'..'9' } || text.length > 18) {
            throw DamageException("has a tensor whose offset or length is ${quote(text)}")
        }
        return BigInteger(text)
    }

    private fun text(last: Long): String {
        val count = last - stream.position
        if (count > MOST_NAME_BYTES) {
            throw DamageException(String.format(Locale.ROOT, "holds a name of %,d bytes", count))
        }
        return decoded(stream.bytes(last))
    }

    private fun skip(wire: Int, end: Long?) {
        when (wire) {
            VARINT -> stream.varint(end)
            BYTES -> stream.skip(stream.last(end) - stream.position)
            FIXED64 -> stream.skip(8)
            FIXED32 -> stream.skip(4)
            GROUP_BEGINS -> throw DamageException("holds a field of a kind that models do not have")
            else -> throw NotOnnxException("is no ONNX model")
        }
    }
}

/** UTF-8, with bytes that are none as single surrogates, so that different names stay different. */
private fun decoded(data: ByteArray): String {
    val decoder = Charsets.UTF_8.newDecoder()
    val from = ByteBuffer.wrap(data)
    val made = CharBuffer.allocate(data.size + 1)
    while (true) {
        val result = decoder.decode(from, made, true)
        if (result.isUnderflow) break
        repeat(result.length()) { made.put((0xDC00 + (from.get().toInt() and 0xff)).toChar()) }
    }
    return String(made.array(), 0, made.position())
}
