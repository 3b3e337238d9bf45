package pocketgan.effects

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.max
import kotlin.math.min

/** Fraction bits of weights: 255 times a weight, with what a bicubic filter overshoots, still fits into 32 bits. */
private const val FRACTION_BITS = 22
private const val HALF = 1 shl (FRACTION_BITS - 1)

/** How the pixels around a place weigh; [reach] is the farthest, in pixels of the coarser side. */
internal enum class Filter(val reach: Double) {
    /** Keys' cubic convolution with a = -0.5, which Pillow has too. */
    BICUBIC(2.0) {
        override fun weight(distance: Double): Double {
            val x = abs(distance)
            return when {
                x < 1 -> (1.5 * x - 2.5) * x * x + 1
                x < 2 -> ((-0.5 * x + 2.5) * x - 4) * x + 2
                else -> 0.0
            }
        }
    },

    /** Linear between two pixels; half of the work. */
    TRIANGLE(1.0) {
        override fun weight(distance: Double): Double = max(0.0, 1 - abs(distance))
    };

    abstract fun weight(distance: Double): Double
}

/**
 * What each of [made] new pixels takes of a row: the part of it from [from] to [to], in pixels and their fractions.
 * Where there are fewer new pixels than old ones, the filter is as much wider: nothing flickers. The arithmetic is
 * Pillow's, so that a picture is scaled here as `pocketgan apply` scales it; but rows are always scaled before columns,
 * where Pillow may take the cheaper order, and both round in between.
 */
internal class Taps(filter: Filter, length: Int, val made: Int, from: Double = 0.0, to: Double = length.toDouble()) {
    /** First old pixel of each new one. */
    val first = IntArray(made)

    /** How many old pixels each new one takes. */
    val count = IntArray(made)

    /** Most that one takes; the weights of the n-th begin at n times it. */
    val most: Int

    /** In 2^-[FRACTION_BITS]. */
    val weights: IntArray

    init {
        val scale = (to - from) / made
        val widened = max(scale, 1.0)
        val reach = filter.reach * widened
        most = ceil(reach).toInt() * 2 + 1
        weights = IntArray(made * most)
        val exact = DoubleArray(most)
        for (place in 0 until made) {
            val centre = from + (place + 0.5) * scale
            val start = max(0, (centre - reach + 0.5).toInt())
            val end = min(length, (centre + reach + 0.5).toInt())
            first[place] = start
            count[place] = end - start
            var sum = 0.0
            for (tap in 0 until end - start) {
                exact[tap] = filter.weight((tap + start - centre + 0.5) / widened)
                sum += exact[tap]
            }
            for (tap in 0 until end - start) {
                val fraction = exact[tap] / sum * (1 shl FRACTION_BITS)
                weights[place * most + tap] = (fraction + if (fraction < 0) -0.5 else 0.5).toInt()
            }
        }
    }
}

/** One row of [channels] interleaved bytes, scaled; pixels lie [stride] bytes apart. */
internal fun scaleRow(taps: Taps, row: ByteArray, stride: Int, channels: Int, into: ByteArray, at: Int) {
    for (place in 0 until taps.made) {
        val start = taps.first[place] * stride
        val weights = place * taps.most
        for (channel in 0 until channels) {
            var sum = HALF
            var from = start + channel
            for (tap in 0 until taps.count[place]) {
                sum += (row[from].toInt() and 0xff) * taps.weights[weights + tap]
                from += stride
            }
            into[at + place * channels + channel] = level(sum)
        }
    }
}

/** All columns of [rows], each of [width] bytes, scaled; the first of them is row [offset] of what [taps] count. */
internal fun scaleColumns(taps: Taps, rows: ByteArray, width: Int, offset: Int, into: ByteArray) {
    val sums = IntArray(width)
    for (place in 0 until taps.made) {
        sums.fill(HALF)
        for (tap in 0 until taps.count[place]) {
            val weight = taps.weights[place * taps.most + tap]
            val start = (taps.first[place] + tap - offset) * width
            for (column in 0 until width) sums[column] += (rows[start + column].toInt() and 0xff) * weight
        }
        for (column in 0 until width) into[place * width + column] = level(sums[column])
    }
}

private fun level(sum: Int): Byte = (sum shr FRACTION_BITS).coerceIn(0, 255).toByte()
