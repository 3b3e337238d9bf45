package pocketgan.measure

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import org.junit.Rule
import org.junit.rules.TemporaryFolder

class ProcessorClockTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private fun core(name: String, khz: String) {
        File(temporary.root, "$name/cpufreq").mkdirs()
        File(temporary.root, "$name/cpufreq/scaling_cur_freq").writeText(khz)
    }

    @Test
    fun `the highest clocked core counts`() {
        core("cpu0", "576000\n")
        core("cpu7", "2841600\n")
        // No cores, a core that is off, and one that tells nothing.
        core("cpufreq", "9999999\n")
        core("cpu1", "0\n")
        core("cpu2", "<unknown>\n")
        assertEquals(2841.6, processorMhz(temporary.root.toPath()))
    }

    @Test
    fun `what cannot be read is unknown`() {
        File(temporary.root, "cpu0").mkdirs()
        assertNull(processorMhz(temporary.root.toPath()))
        assertNull(processorMhz(temporary.root.toPath().resolve("nowhere")))
    }
}
