package pocketgan.onnxruntime

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import org.junit.Rule
import org.junit.rules.TemporaryFolder

class ProfileTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private fun counted(profile: String) = nodesByProvider(temporary.newFile().apply { writeText(profile) }.toPath())

    private fun event(name: String, provider: String, category: String = "Node") =
        """{"cat": "$category", "name": "$name", "dur": 1, "args": {"op_name": "Conv", "provider": "$provider"}}"""

    @Test
    fun `each node counts once, however often it ran`() {
        val events = listOf(
            event("a_kernel_time", "XnnpackExecutionProvider"),
            event("b_kernel_time", "XnnpackExecutionProvider"),
            event("a_kernel_time", "XnnpackExecutionProvider"),
            event("c_kernel_time", "CPUExecutionProvider"),
            event("model_run", "CPUExecutionProvider", category = "Session"),
            """{"cat": "Node", "name": "d_fence_before", "args": {"op_name": "Conv"}}""",
        )
        val expected = mapOf("XnnpackExecutionProvider" to 2L, "CPUExecutionProvider" to 1L)
        assertEquals(expected, counted(events.joinToString(",\n", "[\n", "]\n")))
    }

    @Test
    fun `a profile that tells of no node, or is none, counts nothing`() {
        for (text in listOf("[]", "{}", "", "[{", "[1, null, {\"cat\": \"Node\"}]")) assertNull(counted(text), text)
    }
}
