package pocketgan.effects

import android.graphics.Bitmap

/** (height, width, 3) bytes of RGB. */
internal class Pixels(val height: Int, val width: Int, val bytes: ByteArray = ByteArray(3 * height * width))

/** The picture, laid on white where it is transparent; its colours as sRGB. */
internal fun pixelsOf(bitmap: Bitmap): Pixels {
    if (bitmap.isRecycled) throw EffectException("the bitmap is recycled already")
    // The pixels of a hardware bitmap lie in the graphics processor's memory.
    if (bitmap.config == Bitmap.Config.HARDWARE) {
        val copy = bitmap.copy(Bitmap.Config.ARGB_8888, false)
            ?: throw EffectException("no memory for a copy of the ${bitmap.width}x${bitmap.height} bitmap")
        return pixelsOf(copy).also { copy.recycle() }
    }
    val pixels = Pixels(bitmap.height, bitmap.width)
    val row = IntArray(bitmap.width)
    var at = 0
    for (y in 0 until bitmap.height) {
        bitmap.getPixels(row, 0, row.size, 0, y, row.size, 1)
        for (colour in row) {
            val alpha = colour ushr 24
            for (shift in SHIFTS) pixels.bytes[at++] = onWhite((colour shr shift) and 0xff, alpha).toByte()
        }
    }
    return pixels
}

/** Fills [bitmap], of the same size, with opaque pixels. */
internal fun draw(pixels: Pixels, bitmap: Bitmap) {
    val row = IntArray(pixels.width)
    var at = 0
    for (y in 0 until pixels.height) {
        for (x in row.indices) {
            var colour = 0xff
            repeat(3) { colour = (colour shl 8) or (pixels.bytes[at++].toInt() and 0xff) }
            row[x] = colour
        }
        bitmap.setPixels(row, 0, row.size, 0, y, row.size, 1)
    }
}

/** Scaled as Pillow's bicubic filter does it; itself where it has that size. */
internal fun scaled(pixels: Pixels, height: Int, width: Int): Pixels {
    var now = pixels
    if (width != now.width) {
        val (taps, made) = Taps(Filter.BICUBIC, now.width, width) to Pixels(now.height, width)
        val row = ByteArray(3 * now.width)
        for (y in 0 until now.height) {
            now.bytes.copyInto(row, 0, y * row.size, (y + 1) * row.size)
            scaleRow(taps, row, 3, 3, made.bytes, y * 3 * width)
        }
        now = made
    }
    if (height != now.height) {
        val (taps, made) = Taps(Filter.BICUBIC, now.height, height) to Pixels(height, width)
        scaleColumns(taps, now.bytes, 3 * width, 0, made.bytes)
        now = made
    }
    return now
}

private val SHIFTS = intArrayOf(16, 8, 0)

/** Rounded as Pillow rounds it. */
private fun onWhite(level: Int, alpha: Int): Int {
    if (alpha == 0xff) return level
    val product = level * alpha + 0xff * (0xff - alpha) + 0x80
    return ((product shr 8) + product) shr 8
}
