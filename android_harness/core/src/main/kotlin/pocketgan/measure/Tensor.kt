package pocketgan.measure

import java.nio.ByteBuffer
import java.nio.ByteOrder
import pocketgan.bundle.DType

/**
 * A tensor in memory that runtimes read and write in place.
 *
 * @property data its numbers in C order and the machine's byte order; positions stay 0.
 */
class Tensor(val dtype: DType, val shape: LongArray, val data: ByteBuffer) {
    /** How many numbers it holds. */
    val size: Int = shape.fold(1L) { product, length -> Math.multiplyExact(product, length) }.toInt()

    init {
        require(data.capacity() >= size * dtype.bytes) { "a tensor of $size numbers in ${data.capacity()} bytes" }
        require(data.order() == ByteOrder.nativeOrder()) { "a tensor in a foreign byte order" }
    }

    /** The number at [index], as every dtype of ours but large int64 fits into it. */
    operator fun get(index: Int): Double =
        when (dtype) {
            DType.FLOAT32 -> data.getFloat(index * 4).toDouble()
            DType.FLOAT16 -> halfToFloat(data.getShort(index * 2)).toDouble()
            DType.UINT8 -> (data.get(index).toInt() and 0xff).toDouble()
            DType.INT32 -> data.getInt(index * 4).toDouble()
            DType.INT64 -> data.getLong(index * 8).toDouble()
        }

    /** A tensor of the same values in another type, itself where it has that type. */
    fun cast(to: DType): Tensor {
        if (to == dtype) return this
        val made = zeros(to, shape)
        for (index in 0 until size) {
            val value = this[index]
            when (to) {
                DType.FLOAT32 -> made.data.putFloat(index * 4, value.toFloat())
                DType.FLOAT16 -> made.data.putShort(index * 2, floatToHalf(value.toFloat()))
                DType.UINT8 -> made.data.put(index, value.toInt().toByte())
                DType.INT32 -> made.data.putInt(index * 4, value.toInt())
                DType.INT64 -> made.data.putLong(index * 8, value.toLong())
            }
        }
        return made
    }

    companion object {
        /** A tensor of zeros, outside of the heap. */
        fun zeros(dtype: DType, shape: LongArray): Tensor {
            val bytes = shape.fold(dtype.bytes.toLong()) { product, length -> Math.multiplyExact(product, length) }
            val data = ByteBuffer.allocateDirect(Math.toIntExact(bytes)).order(ByteOrder.nativeOrder())
            return Tensor(dtype, shape, data)
        }

        /** A tensor of little-endian numbers, as golden files hold them. */
        fun ofLittleEndian(dtype: DType, shape: LongArray, bytes: ByteArray): Tensor {
            val made = zeros(dtype, shape)
            require(bytes.size == made.size * dtype.bytes) { "${bytes.size} bytes for ${made.size} numbers" }
            val swap = ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN
            for (at in bytes.indices) made.data.put(if (swap) at xor (dtype.bytes - 1) else at, bytes[at])
            return made
        }
    }
}

/** IEEE 754 binary16 to binary32, exactly. */
internal fun halfToFloat(half: Short): Float {
    val bits = half.toInt() and 0xffff
    val sign = (bits and 0x8000) shl 16
    val exponent = (bits shr 10) and 0x1f
    val fraction = bits and 0x3ff
    if (exponent == 0) {
        val value = fraction / 16_777_216f // subnormal: fraction · 2^-24
        return if (sign != 0) -value else value
    }
    val wide = if (exponent == 0x1f) 0xff else exponent + 112
    return Float.fromBits(sign or (wide shl 23) or (fraction shl 13))
}

/** The nearest binary16, ties to even. */
internal fun floatToHalf(value: Float): Short {
    val bits = value.toRawBits()
    val sign = (bits ushr 16) and 0x8000
    val magnitude = bits and 0x7fffffff
    val half = when {
        magnitude > 0x7f800000 -> 0x7e00 // NaN
        magnitude >= 0x477ff000 -> 0x7c00 // rounds to infinity
        magnitude < 0x38800000 -> Math.rint(Math.abs(value) * 16_777_216.0).toInt() // subnormal
        else -> {
            val rounded = magnitude - 0x38000000 + 0xfff + ((magnitude shr 13) and 1)
            rounded shr 13
        }
    }
    return (sign or half).toShort()
}
