package pocketgan.effects

import android.graphics.Rect
import android.hardware.DataSpace
import java.nio.ByteBuffer
import java.util.Random
import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.cos
import kotlin.math.floor
import kotlin.math.sin
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner

/** Both round to bytes twice. */
private const val TOLERANCE = 2

/** A plane of noise, laid out with gaps that hold other noise. */
private class Noise(val width: Int, val height: Int, val rowStride: Int, val pixelStride: Int, seed: Long) {
    // The last row ends with its last pixel, as a phone's may.
    val bytes = ByteArray((height - 1) * rowStride + (width - 1) * pixelStride + 1).also { Random(seed).nextBytes(it) }

    fun plane() = YuvFrame.Plane(ByteBuffer.wrap(bytes), rowStride, pixelStride)

    fun at(x: Int, y: Int): Double {
        val (column, row) = x.coerceIn(0, width - 1) to y.coerceIn(0, height - 1)
        return (bytes[row * rowStride + column * pixelStride].toInt() and 0xff).toDouble()
    }

    /** Linear between the four pixels whose centres surround the place. */
    fun between(x: Double, y: Double): Double {
        val (left, top) = floor(x - 0.5) to floor(y - 0.5)
        val (right, down) = (x - 0.5 - left) to (y - 0.5 - top)
        val (column, row) = left.toInt() to top.toInt()
        val above = at(column, row) * (1 - right) + at(column + 1, row) * right
        val below = at(column, row + 1) * (1 - right) + at(column + 1, row + 1) * right
        return above * (1 - down) + below * down
    }
}

@RunWith(RobolectricTestRunner::class)
class YuvFrameTest {
    private fun picture(frame: YuvFrame, height: Int, width: Int) = YuvConversion(height, width).toPixels(frame)

    private fun Pixels.at(x: Int, y: Int) = List(3) { bytes[3 * (y * width + x) + it].toInt() and 0xff }

    /** By the equations of ITU-T T.871 (full range) or BT.601 and BT.709 (limited), in floating point. */
    private fun colour(y: Double, cb: Double, cr: Double, colours: YuvColours): List<Int> {
        val (red, blue) = when (colours) {
            YuvColours.JFIF, YuvColours.BT601 -> 0.299 to 0.114
            YuvColours.BT709, YuvColours.BT709_FULL -> 0.2126 to 0.0722
        }
        val isLimited = colours == YuvColours.BT601 || colours == YuvColours.BT709
        val light = if (isLimited) (y - 16) / 219 else y / 255
        val (b, r) = listOf(cb, cr).map { if (isLimited) (it - 128) / 112 / 2 else (it - 128) / 255 }
        val redLevel = light + 2 * (1 - red) * r
        val blueLevel = light + 2 * (1 - blue) * b
        val greenLevel = (light - red * redLevel - blue * blueLevel) / (1 - red - blue)
        return listOf(redLevel, greenLevel, blueLevel).map { Math.round(it * 255).toInt().coerceIn(0, 255) }
    }

    /** Each pixel of the upright picture by turning its place about the middle, back to where the sensor has it. */
    private fun mustBeRight(
        y: Noise, u: Noise, v: Noise, degrees: Int, mirrored: Boolean, colours: YuvColours = YuvColours.JFIF,
        planes: List<YuvFrame.Plane> = listOf(y, u, v).map { it.plane() },
    ) {
        val frame = YuvFrame(y.width, y.height, planes, degrees, mirrored, colours)
        val (width, height) = if (degrees % 180 == 0) y.width to y.height else y.height to y.width
        val made = picture(frame, height, width)
        val angle = -degrees * PI / 180
        for (row in 0 until height) for (column in 0 until width) {
            val right = (if (mirrored) width - 1 - column else column) + 0.5 - width / 2.0
            val down = row + 0.5 - height / 2.0
            val x = right * cos(angle) - down * sin(angle) + y.width / 2.0
            val z = right * sin(angle) + down * cos(angle) + y.height / 2.0
            val expected = colour(y.at(floor(x).toInt(), floor(z).toInt()), u.between(x / 2, z / 2), v.between(x / 2, z / 2), colours)
            val found = made.at(column, row)
            val worst = expected.zip(found).maxOf { (one, other) -> abs(one - other) }
            assertTrue(worst <= TOLERANCE, "at $column, $row: $found, expected $expected")
        }
    }

    private val luma = Noise(14, 10, rowStride = 29, pixelStride = 1, seed = 1)
    private val blue = Noise(7, 5, rowStride = 32, pixelStride = 3, seed = 2)
    private val red = Noise(7, 5, rowStride = 9, pixelStride = 1, seed = 3)

    @Test
    fun `planes with gaps, in every rotation, mirrored and not`() {
        for (degrees in listOf(0, 90, 180, 270)) for (mirrored in listOf(false, true)) {
            mustBeRight(luma, blue, red, degrees, mirrored)
        }
    }

    @Test
    fun `all meanings of the numbers`() {
        for (colours in YuvColours.values()) mustBeRight(luma, blue, red, 0, false, colours)
    }

    @Test
    fun `odd sizes, whose colour planes are rounded up`() {
        val (y, u, v) = Triple(Noise(13, 9, 13, 1, 4), Noise(7, 5, 7, 1, 5), Noise(7, 5, 7, 1, 6))
        for (degrees in listOf(0, 90, 180, 270)) mustBeRight(y, u, v, degrees, true)
    }

    @Test
    fun `colours that lie interleaved, as most phones have them`() {
        // NV21: V before U in one buffer, of which the last byte of either plane's view is its last pixel.
        val both = ByteArray(5 * 20).also { Random(7).nextBytes(it) }
        val v = Noise(7, 5, 20, 2, 0).also { both.copyInto(it.bytes, 0, 0, it.bytes.size) }
        val u = Noise(7, 5, 20, 2, 0).also { both.copyInto(it.bytes, 0, 1, 1 + it.bytes.size) }
        val buffer = ByteBuffer.allocateDirect(both.size).put(both)
        val planes = listOf(
            luma.plane(),
            YuvFrame.Plane(buffer.duplicate().position(1).limit(1 + u.bytes.size), 20, 2),
            YuvFrame.Plane(buffer.duplicate().position(0).limit(v.bytes.size), 20, 2),
        )
        mustBeRight(luma, u, v, 90, false, planes = planes)
    }

    private fun grey(width: Int, height: Int, level: (x: Int, y: Int) -> Int): List<YuvFrame.Plane> {
        val bytes = ByteArray(width * height) { level(it % width, it / width).toByte() }
        val colour = ByteArray((width / 2) * (height / 2)) { 128.toByte() }
        return listOf(bytes to width, colour to width / 2, colour to width / 2)
            .map { (plane, stride) -> YuvFrame.Plane(ByteBuffer.wrap(plane), stride, 1) }
    }

    @Test
    fun `middle of a wide frame is taken, in the model's proportions`() {
        val made = picture(YuvFrame(16, 8, grey(16, 8) { x, _ -> 10 * x }), 8, 8)
        assertEquals(List(8) { 10 * (it + 4) }, List(8) { made.at(it, 3)[1] })
    }

    @Test
    fun `turned frame gives the middle of what is upright then`() {
        val made = picture(YuvFrame(16, 8, grey(16, 8) { x, _ -> 10 * x }, rotationDegrees = 90), 8, 8)
        // Clockwise: what was left is above.
        assertEquals(List(8) { 10 * (it + 4) }, List(8) { made.at(3, it)[1] })
    }

    @Test
    fun `crop of the frame counts`() {
        val planes = grey(16, 8) { x, y -> 10 * x + y }
        val made = picture(YuvFrame(16, 8, planes, crop = Rect(8, 2, 12, 6)), 4, 4)
        assertEquals(List(4) { 10 * (it + 8) + 2 }, List(4) { made.at(it, 0)[1] })
    }

    @Test
    fun `smaller pictures keep what is linear, and see every pixel`() {
        val ramp = picture(YuvFrame(32, 16, grey(32, 16) { x, _ -> 4 * x }), 8, 16)
        // The middle of two pixels, 2 i and 2 i + 1, away from the edges.
        assertEquals(List(12) { 4 * (2 * (it + 2)) + 2 }, List(12) { ramp.at(it + 2, 4)[0] })
        val stripes = picture(YuvFrame(32, 16, grey(32, 16) { x, _ -> if (x % 2 == 0) 0 else 200 }), 8, 16)
        assertEquals(List(12) { 100 }, List(12) { stripes.at(it + 2, 4)[0] })
    }

    @Test
    fun `frames of other forms may follow each other`() {
        val conversion = YuvConversion(8, 8)
        assertEquals(List(3) { 50 }, conversion.toPixels(YuvFrame(16, 8, grey(16, 8) { _, _ -> 50 })).at(1, 1))
        assertEquals(List(3) { 70 }, conversion.toPixels(YuvFrame(32, 64, grey(32, 64) { _, _ -> 70 }, 90)).at(7, 7))
    }

    @Test
    fun `what an image says of its colours is believed`() {
        assertEquals(YuvColours.JFIF, coloursOf(DataSpace.DATASPACE_JFIF))
        assertEquals(YuvColours.JFIF, coloursOf(DataSpace.DATASPACE_UNKNOWN))
        assertEquals(YuvColours.BT601, coloursOf(DataSpace.DATASPACE_BT601_625))
        assertEquals(YuvColours.BT601, coloursOf(DataSpace.DATASPACE_BT601_525))
        assertEquals(YuvColours.BT709, coloursOf(DataSpace.DATASPACE_BT709))
    }

    @Test
    fun `planes that are too short are refused`() {
        val planes = grey(16, 8) { _, _ -> 0 }
        val problem = assertFailsWith<IllegalArgumentException> { YuvFrame(16, 10, planes) }
        assertEquals("plane 0 has 128 bytes, 16x10 pixels need 160", problem.message)
    }

    @Test
    fun `rotations that are no quarter turns are refused`() {
        for (degrees in listOf(45, -90, 360)) {
            assertFailsWith<IllegalArgumentException> { YuvFrame(16, 8, grey(16, 8) { _, _ -> 0 }, degrees) }
        }
    }
}
