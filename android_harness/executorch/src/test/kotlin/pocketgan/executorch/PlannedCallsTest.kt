package pocketgan.executorch

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFails
import kotlin.test.assertNull
import org.junit.Rule
import org.junit.rules.TemporaryFolder

/** A table of executorch/schema/program.fbs: its fields by number. */
private typealias Fields = Map<Int, Any>

class PlannedCallsTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private fun calls(program: ByteArray, method: String = "forward") =
        plannedCalls(temporary.newFile().apply { writeBytes(program) }.toPath(), method)

    private fun kernel(operator: Int): Fields = mapOf(0 to 1.toByte(), 1 to mapOf(0 to operator))

    private fun delegate(index: Int): Fields = mapOf(0 to 2.toByte(), 1 to mapOf(0 to index))

    private val move: Fields = mapOf(0 to 3.toByte(), 1 to mapOf(0 to 0))

    private fun plan(name: String, chains: List<List<Fields>>, delegates: List<String>): Fields = mapOf(
        0 to name,
        5 to chains.map { mapOf(2 to it) },
        7 to delegates.map { mapOf(0 to it) },
    )

    @Test
    fun `each instruction counts for the backend that it calls`() {
        val chains = listOf(listOf(kernel(4), delegate(1), move, delegate(0)), listOf(delegate(1), kernel(9)))
        val encode = plan("encode", listOf(listOf(kernel(1))), emptyList())
        val forward = plan("forward", chains, listOf("VulkanBackend", "XnnpackBackend"))
        val program = flatBuffer(mapOf(1 to listOf(encode, forward)))
        val expected = mapOf("portable" to 2L, "XnnpackBackend" to 2L, "VulkanBackend" to 1L)
        assertEquals(expected, calls(program))
        assertEquals(mapOf("portable" to 1L), calls(program, "encode"))
    }

    @Test
    fun `a method that is not there is not known`() {
        assertNull(calls(flatBuffer(mapOf(1 to listOf(plan("encode", emptyList(), emptyList()))))))
        assertNull(calls(flatBuffer(emptyMap())))
    }

    @Test
    fun `what is no program ends in an exception, not in a number`() {
        for (text in listOf("", "text", "\u007f".repeat(400))) assertFails { calls(text.toByteArray()) }
        // Names a delegate that there is none of.
        assertFails { calls(flatBuffer(mapOf(1 to listOf(plan("forward", listOf(listOf(delegate(3))), emptyList()))))) }
    }
}

private const val LARGEST = 4096

/** A FlatBuffer of that table: what a field refers to lies behind it, as its offsets are unsigned. */
private fun flatBuffer(root: Fields): ByteArray {
    val out = ByteBuffer.allocate(LARGEST).order(ByteOrder.LITTLE_ENDIAN)
    out.putInt(0)
    out.put("ET12".toByteArray())
    out.putInt(0, table(out, root))
    return out.array().copyOf(out.position())
}

/** Writes it at the end; where it lies. */
private fun table(out: ByteBuffer, fields: Fields): Int {
    val slots = (fields.keys.maxOrNull() ?: -1) + 1
    val vtable = out.position()
    out.putShort((4 + 2 * slots).toShort()).putShort((4 + 4 * slots).toShort())
    for (field in 0 until slots) out.putShort(if (field in fields) (4 + 4 * field).toShort() else 0)
    val start = out.position()
    out.putInt(start - vtable)
    repeat(slots) { out.putInt(0) }
    for ((field, value) in fields) {
        val place = start + 4 + 4 * field
        when (value) {
            is Byte -> out.put(place, value)
            is Int -> out.putInt(place, value)
            else -> out.putInt(place, child(out, value) - place)
        }
    }
    return start
}

@Suppress("UNCHECKED_CAST")
private fun child(out: ByteBuffer, value: Any): Int {
    if (value is Map<*, *>) return table(out, value as Fields)
    val start = out.position()
    if (value is String) {
        out.putInt(value.length).put(value.toByteArray()).put(0)
        return start
    }
    val tables = value as List<Fields>
    out.putInt(tables.size)
    repeat(tables.size) { out.putInt(0) }
    tables.forEachIndexed { at, one -> (start + 4 + 4 * at).let { out.putInt(it, table(out, one) - it) } }
    return start
}
