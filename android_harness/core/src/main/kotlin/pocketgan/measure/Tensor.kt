package pocketgan.measure

import java.nio.ByteBuffer
import java.nio.ByteOrder
import pocketgan.bundle.DType
import pocketgan.bundle.floatToHalf
import pocketgan.bundle.halfToFloat

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
