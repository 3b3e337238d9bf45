package pocketgan.effects

import kotlin.math.max
import kotlin.math.min

/**
 * The way of a picture of any size through a model of one size, as `pocketgan apply` has it: the whole picture is
 * scaled to fit, what is left free is filled by reflection, evenly on both sides, and all of it is undone behind.
 */
internal class Fit(private val height: Int, private val width: Int, frameHeight: Int, frameWidth: Int) {
    private val frame = Pixels(frameHeight, frameWidth)
    private val scaledHeight: Int
    private val scaledWidth: Int
    private val top: Int
    private val left: Int

    init {
        val scale = min(frameHeight.toDouble() / height, frameWidth.toDouble() / width)
        // Half to even, as Python rounds.
        scaledHeight = min(frameHeight, max(1, Math.rint(height * scale).toInt()))
        scaledWidth = min(frameWidth, max(1, Math.rint(width * scale).toInt()))
        top = (frameHeight - scaledHeight) / 2
        left = (frameWidth - scaledWidth) / 2
    }

    /** The picture inside the model's frame. */
    fun enter(picture: Pixels): Pixels {
        val inside = scaled(picture, scaledHeight, scaledWidth)
        if (scaledHeight == frame.height && scaledWidth == frame.width) return inside
        val columns = IntArray(frame.width) { reflected(it - left, scaledWidth) }
        var to = 0
        for (y in 0 until frame.height) {
            val row = reflected(y - top, scaledHeight) * scaledWidth
            for (column in columns) {
                val from = 3 * (row + column)
                for (channel in 0 until 3) frame.bytes[to++] = inside.bytes[from + channel]
            }
        }
        return frame
    }

    /** What the model made of it, of whatever size, in the picture's size and proportions. */
    fun leave(made: Pixels): Pixels = leave(made, height, width)

    /** The same in another size. */
    fun leave(made: Pixels, height: Int, width: Int): Pixels {
        val (first, last) = edges(top, scaledHeight, frame.height, made.height)
        val (start, end) = edges(left, scaledWidth, frame.width, made.width)
        val cut = Pixels(last - first, end - start)
        for (y in 0 until cut.height) {
            val from = 3 * ((first + y) * made.width + start)
            made.bytes.copyInto(cut.bytes, 3 * y * cut.width, from, from + 3 * cut.width)
        }
        return scaled(cut, height, width)
    }

    private fun edges(before: Int, side: Int, whole: Int, made: Int): Pair<Int, Int> {
        val (start, end) = listOf(before, before + side).map { Math.rint(it.toDouble() * made / whole).toInt() }
        return start to end
    }
}

/** The place that [place] mirrors, back and forth where the picture is smaller than what is left free. */
private fun reflected(place: Int, length: Int): Int {
    if (length == 1) return 0
    val period = 2 * (length - 1)
    val within = Math.floorMod(place, period)
    return min(within, period - within)
}
