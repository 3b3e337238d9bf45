package pocketgan.measure

import kotlin.math.abs
import kotlin.math.log10
import kotlin.math.max
import kotlin.math.min
import pocketgan.schema.MeasuredParity

/** A model that does not compute its golden outputs; one line that says how. */
class WrongOutputException(message: String) : Exception(message)

/**
 * PSNR in dB (null where infinite) and maximum absolute error over all outputs; the worst output counts. The peak is
 * the width of the declared value range, or of the golden values where none is declared.
 *
 * @throws WrongOutputException another number of outputs, another shape, or values that are not finite.
 */
fun agreement(outputs: List<Tensor>, golden: List<Tensor>, ranges: List<List<Double>?>): MeasuredParity {
    if (outputs.size != golden.size) {
        throw WrongOutputException("the model gives ${outputs.size} outputs, its contract ${golden.size}")
    }
    var worstDb = Double.POSITIVE_INFINITY
    var worstError = 0.0
    for ((index, output) in outputs.withIndex()) {
        val expected = golden[index]
        if (!output.shape.contentEquals(expected.shape)) {
            val (found, wanted) = listOf(output, expected).map { it.shape.joinToString(", ", "(", ")") }
            throw WrongOutputException("output of shape $found, golden output of shape $wanted")
        }
        var squares = 0.0
        var (low, high) = Double.POSITIVE_INFINITY to Double.NEGATIVE_INFINITY
        for (at in 0 until output.size) {
            val wanted = expected[at]
            val difference = output[at] - wanted
            if (!difference.isFinite()) throw WrongOutputException("the output holds values that are not finite")
            squares += difference * difference
            worstError = max(worstError, abs(difference))
            low = min(low, wanted)
            high = max(high, wanted)
        }
        ranges[index]?.let { (black, white) ->
            low = black
            high = white
        }
        if (squares > 0) {
            val peak = if (high == low) 1.0 else high - low
            worstDb = min(worstDb, 10 * log10(peak * peak / (squares / output.size)))
        }
    }
    return MeasuredParity(worstDb.takeIf { it.isFinite() }, worstError)
}
