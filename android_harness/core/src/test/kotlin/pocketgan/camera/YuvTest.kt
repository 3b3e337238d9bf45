package pocketgan.camera

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class YuvTest {
    /** Four by two, brightness by position; colour of two squares. */
    private fun picture(
        upright: Upright,
        y: List<Int> = listOf(10, 20, 30, 40, 50, 60, 70, 80),
        u: List<Int> = listOf(128, 128),
        v: List<Int> = listOf(128, 128),
        width: Int = 2,
        height: Int = 2,
        pad: Int = 0,
        step: Int = 1,
    ): List<Int> {
        val made = ByteArray(3 * width * height)
        val luma = plane(y.chunked(4), 4 + pad, 1)
        YuvConverter(width, height).convert(
            4, 2, luma, plane(listOf(u), 2 * step + pad, step), plane(listOf(v), 2 * step + pad, step), upright, made,
        )
        return made.map { it.toInt() and 0xff }
    }

    private fun plane(rows: List<List<Int>>, rowStride: Int, pixelStride: Int): Plane {
        // As cameras do: nothing lies behind the last row's last byte.
        val bytes = ByteBuffer.allocateDirect(rowStride * (rows.size - 1) + pixelStride * (rows[0].size - 1) + 1)
        for ((row, values) in rows.withIndex()) {
            for ((column, value) in values.withIndex()) {
                bytes.put(row * rowStride + column * pixelStride, value.toByte())
            }
        }
        return Plane(bytes, rowStride, pixelStride)
    }

    private fun grey(vararg levels: Int): List<Int> = levels.flatMap { listOf(it, it, it) }

    @Test
    fun `the largest centred square is cut out`() {
        assertEquals(grey(20, 30, 60, 70), picture(Upright(0)))
    }

    @Test
    fun `pictures are turned clockwise`() {
        assertEquals(grey(60, 20, 70, 30), picture(Upright(90)))
        assertEquals(grey(70, 60, 30, 20), picture(Upright(180)))
        assertEquals(grey(30, 70, 20, 60), picture(Upright(270)))
    }

    @Test
    fun `mirrored is left for right once it is upright`() {
        assertEquals(grey(30, 20, 70, 60), picture(Upright(0, mirrored = true)))
        assertEquals(grey(20, 60, 30, 70), picture(Upright(90, mirrored = true)))
    }

    @Test
    fun `rows may be padded and colours interleaved`() {
        assertEquals(grey(20, 30, 60, 70), picture(Upright(0), pad = 5, step = 2))
    }

    @Test
    fun `smaller pictures lie between the pixels`() {
        // The middle of the square of 20, 30, 60 and 70.
        assertEquals(grey(45), picture(Upright(0), width = 1, height = 1))
    }

    @Test
    fun `colours are those of JFIF`() {
        // JFIF 1.02: R = Y + 1.402 (Cr - 128), G = Y - 0.34414 (Cb - 128) - 0.71414 (Cr - 128), B = Y + 1.772 (Cb - 128).
        val bright = List(8) { 100 }
        val made = picture(Upright(0), y = bright, u = listOf(90, 160), v = listOf(200, 70))
        val wanted = listOf(200.94, 61.66, 32.66, 18.68, 130.41, 156.70)
        for ((told, level) in made.zip(wanted + wanted)) assertTrue(abs(told - level) <= 1, "$told instead of $level")
    }

    @Test
    fun `colours beyond what a byte holds are clipped`() {
        val white = picture(Upright(0), y = List(8) { 255 }, u = listOf(128, 128), v = listOf(255, 255))
        assertEquals(listOf(255, 164, 255), white.take(3))
    }

    @Test
    fun `a phone held any way shows what is up as up`() {
        // Sensors of phones lie across: 90 degrees behind, 270 in front.
        assertEquals(Upright(90), Upright.of(sensor = 90, display = 0, front = false))
        assertEquals(Upright(0), Upright.of(sensor = 90, display = 90, front = false))
        assertEquals(Upright(180), Upright.of(sensor = 90, display = 270, front = false))
        assertEquals(Upright(270, mirrored = true), Upright.of(sensor = 270, display = 0, front = true))
        assertEquals(Upright(0, mirrored = true), Upright.of(sensor = 270, display = 90, front = true))
        assertFailsWith<IllegalArgumentException> { Upright(45) }
    }
}
