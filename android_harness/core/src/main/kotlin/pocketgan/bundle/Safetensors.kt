package pocketgan.bundle

import java.math.BigInteger
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.charset.CharacterCodingException
import kotlinx.serialization.KSerializer
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import pocketgan.json.AtLeast
import pocketgan.json.InvalidException
import pocketgan.json.JsonProblem
import pocketgan.json.StrictJson
import pocketgan.json.Tuple
import pocketgan.json.decode
import pocketgan.json.quote

private const val METADATA = "__metadata__"
private const val LENGTH_BYTES = 8

/** The bytes of a `.safetensors`, whose tensors are looked at where they lie; core/bundle/safetensors.py. */
internal class Safetensors(private val data: ByteArray) {
    private val start: Int
    private val header: JsonObject

    init {
        if (data.size < LENGTH_BYTES) throw DamageException("is too short for a .safetensors")
        val stated = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN).getLong()
        if (stated < 0 || stated > data.size - LENGTH_BYTES) {
            throw DamageException("says that its header is longer than the file")
        }
        start = LENGTH_BYTES + stated.toInt()
        val text = try {
            utf8(data.copyOfRange(LENGTH_BYTES, start))
        } catch (error: CharacterCodingException) {
            throw DamageException("has a header that is not UTF-8")
        }
        header = json(text) as? JsonObject ?: throw DamageException("has a header that is no JSON object")
    }

    /** The text of that key in the metadata; null where there is none. */
    fun metadata(key: String): String? =
        ((header[METADATA] as? JsonObject)?.get(key) as? JsonPrimitive)?.takeIf { it.isString }?.content

    /** @throws DamageException there is no such tensor, or it is not described as a tensor is. */
    fun tensor(name: String): FactorTensor {
        val stated = header[name].takeIf { name != METADATA }
            ?: throw DamageException("lacks its tensor ${quote(name)}")
        val describes = "describes its tensor ${quote(name)}"
        val told = decoded(stated, StatedTensor.serializer(), "$describes in no way that a .safetensors has")
        val (first, last) = told.dataOffsets
        val item = BigInteger.valueOf(told.dtype.bytes.toLong())
        val size = told.shape.fold(item) { all, side -> all * BigInteger.valueOf(side) }
        if (BigInteger.valueOf(last) - BigInteger.valueOf(first) != size) {
            throw DamageException("$describes by numbers that do not fit each other")
        }
        if (last > data.size - start) throw DamageException("ends before its tensor ${quote(name)} does")
        val bytes = ByteBuffer.wrap(data, start + first.toInt(), size.toInt()).slice().order(ByteOrder.LITTLE_ENDIAN)
        return FactorTensor(told.dtype, told.shape, bytes)
    }
}

/** A tensor of a patch. */
internal class FactorTensor(val type: Type, val shape: List<Long>, val bytes: ByteBuffer) {
    @Serializable
    enum class Type(val bytes: Int) {
        @SerialName("F32") FLOAT32(4),
        @SerialName("F16") FLOAT16(2),
        @SerialName("U8") BYTES(1),
    }

    /** The number at [at], which has no rounding. */
    operator fun get(at: Int): Double =
        if (type == Type.FLOAT16) halfToFloat(bytes.getShort(2 * at)).toDouble() else bytes.getFloat(4 * at).toDouble()
}

@Serializable
private class StatedTensor(
    val dtype: FactorTensor.Type,
    @AtLeast(0) val shape: List<Long>,
    @SerialName("data_offsets") @Tuple(2) @AtLeast(0) val dataOffsets: List<Long>,
)

/** @throws DamageException the text is no JSON. */
internal fun json(text: String): JsonElement =
    try {
        StrictJson(text).read().value
    } catch (problem: JsonProblem) {
        throw DamageException("holds what is no JSON: ${problem.message}")
    }

/** @throws DamageException [value] is not what [serializer] makes: it [does], and why. */
internal fun <T> decoded(value: JsonElement, serializer: KSerializer<T>, does: String): T =
    try {
        decode(value, serializer, dropsUnknown = false)
    } catch (invalid: InvalidException) {
        throw DamageException("$does: ${invalid.violations.first()}")
    }
