package pocketgan.measure

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import pocketgan.bundle.ColourSpace
import pocketgan.bundle.DType
import pocketgan.bundle.floatToHalf
import pocketgan.bundle.halfToFloat
import pocketgan.bundle.Layout
import pocketgan.bundle.TensorSpec
import pocketgan.schema.MeasuredParity

class PictureTest {
    private val contract =
        TensorSpec("x", listOf(1, 3, 1, 2), Layout.NCHW, DType.FLOAT32, listOf(-1.0, 1.0), ColourSpace.RGB)

    @Test
    fun `pixels become planes between black and white, and come back`() {
        val picture = byteArrayOf(0, 51, -1, 102, -103, 0) // (0, 51, 255), (102, 153, 0)
        val tensor = Tensor.zeros(DType.FLOAT32, longArrayOf(1, 3, 1, 2))
        val converter = PictureConverter(contract)
        converter.toTensor(picture, tensor.data.asFloatBuffer())
        val expected = listOf(-1.0, -0.2, -0.6, 0.2, 1.0, -1.0)
        for ((at, value) in expected.withIndex()) assertEquals(value, tensor[at], 1e-6)
        val again = ByteArray(6)
        converter.toPicture(tensor.data.asFloatBuffer(), again)
        assertContentEquals(picture, again)
    }

    @Test
    fun `what is darker than black or lighter than white is clipped`() {
        val tensor = Tensor.zeros(DType.FLOAT32, longArrayOf(1, 3, 1, 2))
        listOf(-1.5f, 1.5f, 0f, 0.004f, -9f, 9f).forEachIndexed { at, value -> tensor.data.putFloat(4 * at, value) }
        val picture = ByteArray(6)
        PictureConverter(contract).toPicture(tensor.data.asFloatBuffer(), picture)
        // (0 + 1) · 127.5 + 0.5 is 128.
        assertEquals(listOf(0, 128, 0, 255, 128, 255), picture.map { it.toInt() and 0xff })
    }

    @Test
    fun `half precision is read and rounded as IEEE 754 has it`() {
        val known =
            mapOf(0x3c00 to 1f, 0xc000 to -2f, 0x7bff to 65504f, 0x0001 to 5.9604645e-8f, 0x0400 to 6.1035156e-5f)
        for ((bits, value) in known) {
            assertEquals(value, halfToFloat(bits.toShort()))
            assertEquals(bits.toShort(), floatToHalf(value))
        }
        assertEquals(0x3c00.toShort(), floatToHalf(1f + 1 / 2048f)) // half a step: to even
        assertEquals(0x3c02.toShort(), floatToHalf(1f + 3 / 2048f))
        assertEquals(0x7c00.toShort(), floatToHalf(65520f))
        for (bits in 0..0xffff) {
            val value = halfToFloat(bits.toShort())
            if (!value.isNaN()) assertEquals(bits.toShort(), floatToHalf(value))
        }
    }

    @Test
    fun `agreement is the PSNR of the worst output`() {
        val golden = Tensor.zeros(DType.FLOAT32, longArrayOf(4))
        val output = Tensor.zeros(DType.FLOAT32, longArrayOf(4)).also { it.data.putFloat(8, 0.2f) }
        // Mean square 0.01, peak 2: 10 log10(4 / 0.01).
        val ranges = List(2) { listOf(-1.0, 1.0) }
        val parity = agreement(listOf(golden, output), listOf(golden, golden), ranges)
        assertEquals(26.0206, parity.psnrDb!!, 1e-4)
        assertEquals(0.2, parity.maxAbsError, 1e-7)
        assertEquals(MeasuredParity(null, 0.0), agreement(listOf(golden), listOf(golden), listOf(null)))
        val other = Tensor.zeros(DType.FLOAT32, longArrayOf(2, 2))
        assertFailsWith<WrongOutputException> { agreement(listOf(other), listOf(golden), listOf(null)) }
        assertFailsWith<WrongOutputException> { agreement(emptyList(), listOf(golden), listOf(null)) }
    }
}
