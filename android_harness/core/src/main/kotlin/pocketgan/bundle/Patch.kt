package pocketgan.bundle

import java.math.BigInteger
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import pocketgan.json.AtLeast
import pocketgan.json.AtMost
import pocketgan.json.Matches
import pocketgan.json.quote

private const val KEY = "patch"
private const val LARGEST = 1L shl 40

/** Numbers that are summed at once, in float64. */
private const val SEGMENT = 1 shl 15

/**
 * What changes a file's weights, as its metadata say (docs/bundle.md, "Patches").
 *
 * @property first the name of a patch of the same folder that is put in before.
 */
@Serializable
internal class PatchPlan(
    @SerialName("target_bytes") @AtLeast(1) @AtMost(LARGEST) val targetBytes: Long,
    @SerialName("target_sha256") @Matches(SHA256_PATTERN) val targetSha256: String,
    @SerialName("result_sha256") @Matches(SHA256_PATTERN) val resultSha256: String,
    val first: String? = null,
    val weights: List<WeightPatch> = emptyList(),
    val bytes: List<BytesPatch> = emptyList(),
)

@Serializable
internal enum class WeightType(val bytes: Int) {
    @SerialName("float32") FLOAT32(4),
    @SerialName("float16") FLOAT16(2),
}

/** [rows] x [columns] numbers at [offset] to which the product of the tensors [b] and [a] is added. */
@Serializable
internal class WeightPatch(
    @AtLeast(0) @AtMost(LARGEST) val offset: Long,
    @AtLeast(1) @AtMost(LARGEST) val rows: Long,
    @AtLeast(1) @AtMost(LARGEST) val columns: Long,
    val dtype: WeightType,
    val a: String,
    val b: String,
)

/** The tensor [bytes] takes the place of as many bytes at [offset]. */
@Serializable
internal class BytesPatch(@AtLeast(0) @AtMost(LARGEST) val offset: Long, val bytes: String)

/**
 * A patch in the bytes of a `.safetensors`.
 *
 * @throws DamageException it is none, as the end of a sentence about it.
 */
internal class Patch(data: ByteArray) {
    private val tensors = Safetensors(data)

    /** What it says of itself. */
    val plan: PatchPlan = decoded(json(tensors.metadata(KEY) ?: "null"), PatchPlan.serializer(), "is no patch")

    /**
     * Change a file of [PatchPlan.targetBytes] bytes in place, a part at a time: it need not fit into memory.
     *
     * @throws DamageException a product or bytes do not fit into it.
     */
    fun putInto(file: FileChannel) {
        for (weight in plan.weights) add(weight, file)
        for (one in plan.bytes) replace(one, file)
    }

    private fun add(weight: WeightPatch, file: FileChannel) {
        val (left, right) = tensors.tensor(weight.b) to tensors.tensor(weight.a)
        val areFactors = listOf(left, right).all { it.shape.size == 2 && it.type != FactorTensor.Type.BYTES }
        if (!areFactors || left.shape != listOf(weight.rows, right.shape[0]) || right.shape[1] != weight.columns) {
            throw DamageException("has factors ${quote(weight.b)} and ${quote(weight.a)} that are none of its weights")
        }
        val size = BigInteger.valueOf(weight.rows) * BigInteger.valueOf(weight.columns * weight.dtype.bytes)
        if (BigInteger.valueOf(weight.offset) + size > BigInteger.valueOf(plan.targetBytes)) {
            throw DamageException("changes weights outside of the file")
        }
        // Without a rank there is nothing to add; with one, both sides fit into the patch.
        if (right.shape[0] > 0) ProductSum(weight, left, right).addTo(file)
    }

    private fun replace(one: BytesPatch, file: FileChannel) {
        val tensor = tensors.tensor(one.bytes)
        if (tensor.type != FactorTensor.Type.BYTES || one.offset + tensor.bytes.capacity() > plan.targetBytes) {
            throw DamageException("replaces bytes outside of the file, or by no bytes: ${quote(one.bytes)}")
        }
        write(file, tensor.bytes.duplicate(), one.offset)
    }
}

/** Adds the product of two factors to a weight, some rows (of a long row: some numbers) at a time. */
private class ProductSum(private val weight: WeightPatch, private val left: FactorTensor, right: FactorTensor) {
    private val rank = right.shape[0].toInt()
    private val columns = weight.columns.toInt()
    private val isHalf = weight.dtype == WeightType.FLOAT16
    private val right = DoubleArray(rank * columns) { right[it] }
    private val sums = DoubleArray(minOf(columns, SEGMENT))
    private val chunk = ByteArray(SEGMENT * weight.dtype.bytes)
    private val numbers = ByteBuffer.wrap(chunk).order(ByteOrder.LITTLE_ENDIAN)

    fun addTo(file: FileChannel) {
        val rowsAtOnce = maxOf(1, SEGMENT / columns)
        for (row in 0 until weight.rows.toInt() step rowsAtOnce) {
            val rows = minOf(rowsAtOnce, weight.rows.toInt() - row)
            for (column in 0 until columns step sums.size) {
                val count = minOf(sums.size, columns - column)
                val place = weight.offset + (row.toLong() * columns + column) * weight.dtype.bytes
                val bytes = rows * count * weight.dtype.bytes
                read(file, ByteBuffer.wrap(chunk, 0, bytes), place)
                for (at in 0 until rows) addToRow(row + at, column, count, at * count)
                write(file, ByteBuffer.wrap(chunk, 0, bytes), place)
            }
        }
    }

    /** To [count] numbers of a row, which lie in the buffer from its number [begin] on. */
    private fun addToRow(row: Int, column: Int, count: Int, begin: Int) {
        for (at in 0 until count) {
            sums[at] = if (isHalf) halfToFloat(numbers.getShort(2 * (begin + at))).toDouble()
            else numbers.getFloat(4 * (begin + at)).toDouble()
        }
        for (term in 0 until rank) {
            val factor = left[row * rank + term]
            val from = term * columns + column
            for (at in 0 until count) sums[at] += factor * right[from + at]
        }
        for (at in 0 until count) {
            if (isHalf) numbers.putShort(2 * (begin + at), doubleToHalf(sums[at]))
            else numbers.putFloat(4 * (begin + at), sums[at].toFloat())
        }
    }
}

/** Fill [into] from [place] on. */
private fun read(file: FileChannel, into: ByteBuffer, place: Long) {
    while (into.hasRemaining()) {
        if (file.read(into, place + into.position()) < 0) throw DamageException("is of a larger file")
    }
}

/** Write all of [from] to [place] on. */
private fun write(file: FileChannel, from: ByteBuffer, place: Long) {
    while (from.hasRemaining()) file.write(from, place + from.position())
}
