package pocketgan.effects

import java.nio.Buffer
import kotlin.math.min

private const val FRACTION_BITS = 16
private const val HALF = 1 shl (FRACTION_BITS - 1)

/** From camera frames to pictures of one size; buffers and weights are made anew only when frames change their form. */
class YuvConversion(private val height: Int, private val width: Int) {
    private val picture = Pixels(height, width)
    private var form: Form? = null

    /** The middle of the frame, upright and in the picture's proportions. The next call fills the same picture. */
    internal fun toPixels(frame: YuvFrame): Pixels {
        val now = Shape(frame.width, frame.height, cropOf(frame), frame.rotationDegrees % 180 != 0)
        val form = form?.takeIf { it.shape == now } ?: Form(now).also { this.form = it }
        val (luma, blue, red) = form.scaled.mapIndexed { index, plane -> plane.read(frame.planes[index]) }
        colour(frame, form, luma, blue, red)
        return picture
    }

    /** The same into [picture], which is (height, width, 3) bytes of RGB. */
    fun toBytes(frame: YuvFrame, picture: ByteArray) {
        toPixels(frame).bytes.copyInto(picture)
    }

    private fun cropOf(frame: YuvFrame) =
        frame.crop?.run { listOf(left, top, right, bottom) } ?: listOf(0, 0, frame.width, frame.height)

    private data class Shape(val width: Int, val height: Int, val crop: List<Int>, val lies: Boolean)

    /** Planes as the sensor has them, in the size that turning makes the picture's. */
    private inner class Form(val shape: Shape) {
        val width = if (shape.lies) this@YuvConversion.height else this@YuvConversion.width
        val height = if (shape.lies) this@YuvConversion.width else this@YuvConversion.height
        val scaled: List<ScaledPlane>

        init {
            val (left, top, right, bottom) = shape.crop
            val scale = min((right - left).toDouble() / width, (bottom - top).toDouble() / height)
            val x = (left + right - width * scale) / 2
            val y = (top + bottom - height * scale) / 2
            // A colour pixel lies in the middle of the four that it colours (JFIF).
            scaled = listOf(1, 2, 2).map { coarser ->
                val (columns, rows) = listOf(shape.width, shape.height).map { (it + coarser - 1) / coarser }
                ScaledPlane(
                    Taps(Filter.TRIANGLE, columns, width, x / coarser, (x + width * scale) / coarser),
                    Taps(Filter.TRIANGLE, rows, height, y / coarser, (y + height * scale) / coarser),
                    columns,
                )
            }
        }
    }

    private fun colour(frame: YuvFrame, form: Form, luma: ByteArray, blue: ByteArray, red: ByteArray) {
        val steps = stepsOf(frame.rotationDegrees, form.width, form.height)
        val numbers = Coefficients(frame.colours)
        val bytes = picture.bytes
        var to = 0
        for (y in 0 until height) {
            var from = steps.start + y * steps.down + if (frame.mirrored) (width - 1) * steps.right else 0
            val step = if (frame.mirrored) -steps.right else steps.right
            for (x in 0 until width) {
                val brightness = ((luma[from].toInt() and 0xff) - numbers.black) * numbers.gain + HALF
                val cb = (blue[from].toInt() and 0xff) - 128
                val cr = (red[from].toInt() and 0xff) - 128
                bytes[to++] = level(brightness + numbers.redOfCr * cr)
                bytes[to++] = level(brightness - numbers.greenOfCb * cb - numbers.greenOfCr * cr)
                bytes[to++] = level(brightness + numbers.blueOfCb * cb)
                from += step
            }
        }
    }

    private fun level(value: Int): Byte = (value shr FRACTION_BITS).coerceIn(0, 255).toByte()
}

/** Where the upright picture begins in the sensor's rows of [Steps], and how far its next column and row are. */
private class Steps(val start: Int, val right: Int, val down: Int)

private fun stepsOf(degrees: Int, width: Int, height: Int): Steps = when (degrees) {
    90 -> Steps((height - 1) * width, -width, 1)
    180 -> Steps(height * width - 1, -1, -width)
    270 -> Steps(width - 1, width, -1)
    else -> Steps(0, 1, width)
}

/** From Y, Cb and Cr to red, green and blue, in 2^-[FRACTION_BITS] (BT.601-7, 2.5; T.871, 7). */
private class Coefficients(colours: YuvColours) {
    val black = if (colours.isFull) 0 else 16
    private val green = 1 - colours.red - colours.blue
    private val colour = if (colours.isFull) 1.0 else 255.0 / 224
    val gain = fixed(if (colours.isFull) 1.0 else 255.0 / 219)
    val redOfCr = fixed(2 * (1 - colours.red) * colour)
    val blueOfCb = fixed(2 * (1 - colours.blue) * colour)
    val greenOfCr = fixed(2 * (1 - colours.red) * colours.red / green * colour)
    val greenOfCb = fixed(2 * (1 - colours.blue) * colours.blue / green * colour)

    private fun fixed(value: Double): Int = Math.rint(value * (1 shl FRACTION_BITS)).toInt()
}

/** One plane, scaled: first its rows, then its columns. */
private class ScaledPlane(private val columns: Taps, private val rows: Taps, private val width: Int) {
    private val firstRow = rows.first.min()
    private val endRow = rows.first.indices.maxOf { rows.first[it] + rows.count[it] }
    private val between = ByteArray((endRow - firstRow) * columns.made)
    private val made = ByteArray(rows.made * columns.made)
    private var row = ByteArray(0)

    fun read(plane: YuvFrame.Plane): ByteArray {
        val length = (width - 1) * plane.pixelStride + 1
        if (row.size < length) row = ByteArray(length)
        for (y in firstRow until endRow) {
            // As Buffer: ByteBuffer has a position() of its own only since Android 9.
            (plane.bytes as Buffer).position(y * plane.rowStride)
            plane.bytes.get(row, 0, length)
            scaleRow(columns, row, plane.pixelStride, 1, between, (y - firstRow) * columns.made)
        }
        scaleColumns(rows, between, columns.made, firstRow, made)
        return made
    }
}
