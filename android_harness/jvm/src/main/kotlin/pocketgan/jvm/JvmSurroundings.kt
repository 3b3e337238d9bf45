package pocketgan.jvm

import java.lang.management.ManagementFactory
import java.nio.file.Files
import java.nio.file.Path
import kotlinx.serialization.json.Json
import pocketgan.measure.NanoClock
import pocketgan.measure.Surroundings
import pocketgan.measure.processorMhz
import pocketgan.schema.AppBuild
import pocketgan.schema.Conditions
import pocketgan.schema.DeviceInfo
import pocketgan.schema.DeviceKind

/** The machine of this JVM, or the device of that description which it stands for; then marked simulated. */
class JvmSurroundings(private val clock: NanoClock, described: Path?) : Surroundings {
    override val info: DeviceInfo = described?.let { standIn(String(Files.readAllBytes(it))) } ?: own()

    override val appBuild = AppBuild.RELEASE

    override fun conditions() = Conditions(
        atNs = clock.now(),
        frequencyMhz = processorMhz(),
        loadAverage = ManagementFactory.getOperatingSystemMXBean().systemLoadAverage.takeIf { it >= 0 },
    )

    override fun sleep(seconds: Double) = Thread.sleep((seconds * 1000).toLong())

    private fun standIn(description: String) = Json.decodeFromString<DeviceInfo>(description).copy(simulated = true)

    private fun own(): DeviceInfo {
        val system = System.getProperties()
        return DeviceInfo(
            name = "jvm",
            model = "JVM",
            kind = DeviceKind.LOCAL,
            os = "${system["os.name"]} ${system["os.version"]}",
            osBuild = "${system["java.vm.name"]} ${system["java.runtime.version"]}",
            cpu = "${system["os.arch"]}",
            cores = Runtime.getRuntime().availableProcessors().toLong(),
            memoryBytes = Runtime.getRuntime().maxMemory(),
        )
    }
}
