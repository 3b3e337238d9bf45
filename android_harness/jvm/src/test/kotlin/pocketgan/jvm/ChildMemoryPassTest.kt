package pocketgan.jvm

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import pocketgan.measure.RefusedException
import pocketgan.schema.Memory

class ChildMemoryPassTest {
    private val answer = """{"runtime_bytes":100,"peak_bytes":300}"""

    @Test
    fun `memory is what the child says of itself, whatever else is printed`() {
        assertEquals(Memory(100, 300), memoryIn(0, listOf("a line of the runtime's", answer)))
    }

    @Test
    fun `a child that could not measure leaves the memory unknown`() {
        assertNull(memoryIn(0, emptyList()))
        assertNull(memoryIn(1, listOf(answer)))
    }

    @Test
    fun `a model that kills the child is not loaded here`() {
        // A JVM that crashes ends by SIGABRT, 6; one that the system kills for its memory by SIGKILL, 9.
        for ((code, signal) in listOf(134 to 6, 137 to 9)) {
            val line = assertFailsWith<RefusedException> { memoryIn(code, emptyList()) }.message
            assertEquals("the model killed the process that ran it (signal $signal)", line)
        }
    }
}
