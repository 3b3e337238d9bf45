package pocketgan.bundle

import kotlin.math.abs

private const val MOST = 65520.0 // rounds to infinity from here on
private const val LEAST_EXPONENT = -14
private const val FRACTION_BITS = 10

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

/** The nearest binary16, ties to even. By way of binary32 it would be rounded twice. */
internal fun doubleToHalf(value: Double): Short {
    if (value.isNaN() || abs(value) >= MOST) return floatToHalf(value.toFloat())
    val exponent = maxOf(Math.getExponent(value), LEAST_EXPONENT)
    // A power of two: scaling by it is exact.
    val quantum = Math.scalb(1.0, exponent - FRACTION_BITS)
    return floatToHalf((Math.rint(value / quantum) * quantum).toFloat())
}
