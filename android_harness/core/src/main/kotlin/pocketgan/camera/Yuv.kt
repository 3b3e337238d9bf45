package pocketgan.camera

import java.nio.ByteBuffer

// JFIF's conversion, in units of 1/65536: cameras give YUV_420_888 in Rec. 601's colours and the full range.
private const val RED_OF_V = 91_881
private const val GREEN_OF_U = 22_554
private const val GREEN_OF_V = 46_802
private const val BLUE_OF_U = 116_130
private const val HALF = 1 shl 15

/** Weights of neighbours are of 1/256. */
private const val WHOLE = 256

/**
 * One plane of a picture: a byte for each [pixelStride] bytes of a row, rows [rowStride] bytes apart. The buffer's
 * position stays where it is.
 */
class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/** Which way is up in a camera's pictures: turn them clockwise by [degrees], then swap left and right if [mirrored]. */
data class Upright(val degrees: Int, val mirrored: Boolean = false) {
    init {
        require(degrees in setOf(0, 90, 180, 270)) { "a picture turned by $degrees degrees" }
    }

    companion object {
        /**
         * Of a camera whose sensor is built in turned by [sensor] degrees, on a display that is turned by [display]
         * degrees from the device's natural position. Who looks into the front camera sees a mirror.
         */
        fun of(sensor: Int, display: Int, front: Boolean): Upright =
            Upright(Math.floorMod(if (front) sensor + display else sensor - display, 360), front)
    }
}

/**
 * From a camera's YUV 4:2:0 planes to an upright RGB picture: the largest centred cut-out of the picture's shape,
 * bilinear in brightness, nearest in colour, which has half the resolution. Tables and buffers are made once.
 *
 * @param width of the RGB picture, which is (height, width, 3) bytes.
 */
class YuvConverter(private val width: Int, private val height: Int) {
    private var tables: Tables? = null
    private var yBytes = ByteArray(0)
    private var uBytes = ByteArray(0)
    private var vBytes = ByteArray(0)

    /** Fill [picture] from planes of a [sourceWidth] x [sourceHeight] picture; [u] and [v] have equal strides. */
    fun convert(sourceWidth: Int, sourceHeight: Int, y: Plane, u: Plane, v: Plane, upright: Upright, picture: ByteArray) {
        val wanted = Layout(sourceWidth, sourceHeight, y.rowStride, y.pixelStride, u.rowStride, u.pixelStride, upright)
        val at = tables?.takeIf { it.layout == wanted } ?: Tables(wanted).also { tables = it }
        // One copy of each plane: single bytes of a direct buffer take several times as long to read.
        yBytes = copied(y.bytes, yBytes)
        uBytes = copied(u.bytes, uBytes)
        vBytes = copied(v.bytes, vBytes)
        var to = 0
        for (row in 0 until height) {
            val above = at.rowNear[row]
            val below = at.rowFar[row]
            val down = at.rowWeight[row]
            val colour = at.rowColour[row]
            for (column in 0 until width) {
                val luma = luma(at.columnNear[column], at.columnFar[column], at.columnWeight[column], above, below, down)
                val chroma = colour + at.columnColour[column]
                val blueness = (uBytes[chroma].toInt() and 0xff) - 128
                val redness = (vBytes[chroma].toInt() and 0xff) - 128
                picture[to] = level(luma + RED_OF_V * redness)
                picture[to + 1] = level(luma - GREEN_OF_U * blueness - GREEN_OF_V * redness)
                picture[to + 2] = level(luma + BLUE_OF_U * blueness)
                to += 3
            }
        }
    }

    /** In units of 1/65536. */
    private fun luma(left: Int, right: Int, across: Int, above: Int, below: Int, down: Int): Int {
        val upper = byte(above + left) * (WHOLE - across) + byte(above + right) * across
        val lower = byte(below + left) * (WHOLE - across) + byte(below + right) * across
        return upper * (WHOLE - down) + lower * down
    }

    private fun byte(at: Int): Int = yBytes[at].toInt() and 0xff

    private fun level(value: Int): Byte = ((value + HALF) shr 16).coerceIn(0, 255).toByte()

    private fun copied(from: ByteBuffer, to: ByteArray): ByteArray {
        val there = from.duplicate()
        val bytes = if (to.size == there.remaining()) to else ByteArray(there.remaining())
        there.get(bytes)
        return bytes
    }

    private data class Layout(
        val width: Int,
        val height: Int,
        val yRow: Int,
        val yPixel: Int,
        val colourRow: Int,
        val colourPixel: Int,
        val upright: Upright,
    )

    /**
     * Where the bytes of each row and column of the picture lie. Turning by quarters keeps rows and columns apart, so
     * that a place is the sum of its row's and its column's.
     */
    private inner class Tables(val layout: Layout) {
        val columnNear = IntArray(width)
        val columnFar = IntArray(width)
        val columnWeight = IntArray(width)
        val columnColour = IntArray(width)
        val rowNear = IntArray(height)
        val rowFar = IntArray(height)
        val rowWeight = IntArray(height)
        val rowColour = IntArray(height)

        init {
            val (degrees, mirrored) = layout.upright
            val isTurned = degrees % 180 != 0
            val (wide, high) = if (isTurned) layout.height to layout.width else layout.width to layout.height
            val scale = minOf(wide.toDouble() / width, high.toDouble() / height)
            // What is left or above of the upright picture lies at the far end of the sensor's.
            val columnsBack = (degrees == 180 || degrees == 90) != mirrored
            val rowsBack = degrees == 180 || degrees == 270
            for (column in 0 until width) {
                val place = place(column, width, wide, scale, columnsBack)
                fill(place, isTurned, wide, column, columnNear, columnFar, columnWeight, columnColour)
            }
            for (row in 0 until height) {
                val place = place(row, height, high, scale, rowsBack)
                fill(place, !isTurned, high, row, rowNear, rowFar, rowWeight, rowColour)
            }
        }

        /** Where in the [length] pixels of the sensor's side the middle of a pixel of the picture lies. */
        private fun place(pixel: Int, pixels: Int, length: Int, scale: Double, back: Boolean): Double {
            val place = (length - pixels * scale) / 2 + (pixel + 0.5) * scale - 0.5
            return (if (back) length - 1 - place else place).coerceIn(0.0, length - 1.0)
        }

        private fun fill(
            place: Double,
            isDown: Boolean,
            length: Int,
            pixel: Int,
            near: IntArray,
            far: IntArray,
            weight: IntArray,
            colour: IntArray,
        ) {
            val step = if (isDown) layout.yRow else layout.yPixel
            val first = place.toInt()
            near[pixel] = first * step
            far[pixel] = minOf(first + 1, length - 1) * step
            weight[pixel] = Math.round((place - first) * WHOLE).toInt()
            val nearest = Math.round(place).toInt().coerceAtMost(length - 1)
            colour[pixel] = nearest / 2 * (if (isDown) layout.colourRow else layout.colourPixel)
        }
    }
}
