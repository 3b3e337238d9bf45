package pocketgan.measure

import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths

private const val KHZ_PER_MHZ = 1000.0

/**
 * The frequency, in MHz, of the core that is clocked highest now, as Linux tells it; null where it does not, or where an
 * app may not read it.
 */
fun processorMhz(cores: Path = Paths.get("/sys/devices/system/cpu")): Double? {
    val told = try {
        Files.newDirectoryStream(cores, "cpu[0-9]*").use { folders -> folders.mapNotNull(::khz) }
    } catch (problem: IOException) {
        return null
    } catch (problem: SecurityException) {
        return null
    }
    return told.maxOrNull()?.let { it / KHZ_PER_MHZ }
}

private fun khz(core: Path): Long? =
    try {
        val line = String(Files.readAllBytes(core.resolve("cpufreq/scaling_cur_freq")), Charsets.US_ASCII)
        line.trim().toLongOrNull()?.takeIf { it > 0 }
    } catch (problem: IOException) {
        null
    } catch (problem: SecurityException) {
        null
    }
