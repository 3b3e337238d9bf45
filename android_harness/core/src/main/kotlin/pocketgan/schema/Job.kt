package pocketgan.schema

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import pocketgan.bundle.NAME_PATTERN
import pocketgan.bundle.SHA256_PATTERN
import pocketgan.json.Above
import pocketgan.json.AtLeast
import pocketgan.json.InvalidException
import pocketgan.json.Matches
import pocketgan.json.Violation

/** Version of job and result that this harness knows whole; the models are those of bench/schema/. */
const val SCHEMA_VERSION = "1.3"
internal const val VERSION_PATTERN = "^1\\.[0-9]{1,4}$"

/** One frame after the other, overlapping, without a pause for a time, or from the camera's sensor to the screen. */
@Serializable
enum class JobMode {
    @SerialName("latency") LATENCY,
    @SerialName("throughput") THROUGHPUT,
    @SerialName("sustained") SUSTAINED,
    @SerialName("camera") CAMERA;

    /** Whether its length is seconds, not iterations. */
    val isTimed: Boolean get() = this == SUSTAINED || this == CAMERA
}

/** What carries a job out: a process of the host's, an app in the foreground, a command in a phone's shell, a page. */
@Serializable
enum class Via {
    @SerialName("process") PROCESS,
    @SerialName("app") APP,
    @SerialName("shell") SHELL,
    @SerialName("page") PAGE,
}

/** What the runtime is asked to compute with; [DEFAULT] is its own choice for the entry's target. */
@Serializable
enum class Provider {
    @SerialName("default") DEFAULT,
    @SerialName("cpu") CPU,
    @SerialName("xnnpack") XNNPACK,
    @SerialName("nnapi") NNAPI,
    @SerialName("qnn") QNN,
    @SerialName("vulkan") VULKAN,
    @SerialName("wasm") WASM,
    @SerialName("webgpu") WEBGPU,
}

/** Clocks as they come, or held where the system can. */
@Serializable
enum class ClockRegime {
    @SerialName("free") FREE,
    @SerialName("pinned") PINNED,
}

@Serializable
enum class ComputeUnits {
    @SerialName("all") ALL,
    @SerialName("cpu") CPU,
    @SerialName("cpu_and_gpu") CPU_AND_GPU,
    @SerialName("cpu_and_neural_engine") CPU_AND_NEURAL_ENGINE,
}

@Serializable
enum class ThermalState {
    @SerialName("nominal") NOMINAL,
    @SerialName("fair") FAIR,
    @SerialName("serious") SERIOUS,
    @SerialName("critical") CRITICAL,
}

/**
 * Frames that run before the first sample is taken: [iterations] at least, then until the medians of the last two
 * windows of [window] frames differ by at most [tolerance] of the later one, or [timeoutS] is over; 0 leaves it at
 * [iterations].
 */
@Serializable
data class Warmup(
    @AtLeast(0) val iterations: Long = 5,
    @AtLeast(1) val window: Long = 5,
    @Above(0) val tolerance: Double = 0.03,
    @SerialName("timeout_s") @AtLeast(0) val timeoutS: Double = 10.0,
)

/** Gate before the run: wait until the device is cool, [timeoutS] at most. */
@Serializable
data class CoolDown(
    @SerialName("maximum_thermal_state") val maximumThermalState: ThermalState = ThermalState.NOMINAL,
    @SerialName("maximum_temperature_c") val maximumTemperatureC: Double? = null,
    @SerialName("timeout_s") @AtLeast(0) val timeoutS: Double = 300.0,
)

/** One measurement of one entry of one bundle; see bench/schema/job.py. */
@Serializable
data class Job(
    @SerialName("schema_version") @Matches(VERSION_PATTERN) val schemaVersion: String = SCHEMA_VERSION,
    @Matches(SHA256_PATTERN) val bundle: String,
    @Matches(NAME_PATTERN) val entry: String,
    @Matches(NAME_PATTERN) val component: String? = null,
    val mode: JobMode = JobMode.LATENCY,
    val via: Via = Via.PROCESS,
    val provider: Provider = Provider.DEFAULT,
    val clock: ClockRegime = ClockRegime.FREE,
    val warmup: Warmup = Warmup(),
    @AtLeast(1) val iterations: Long? = 50,
    @SerialName("duration_s") @Above(0) val durationS: Double? = null,
    @AtLeast(1) val rounds: Long = 5,
    @AtLeast(0) val run: Long = 0,
    @AtLeast(1) val threads: Long = 1,
    @SerialName("compute_units") val computeUnits: ComputeUnits = ComputeUnits.ALL,
    @SerialName("cold_repeats") @AtLeast(0) val coldRepeats: Long = 1,
    @SerialName("cool_down") val coolDown: CoolDown? = null,
    val energy: Boolean = false,
) {
    /** @throws InvalidException iterations and seconds are not what its mode counts, or it is too short for energy. */
    internal fun mustHaveItsLength(place: List<String>) {
        val asked: Number? = if (mode.isTimed) durationS else iterations
        val other: Number? = if (mode.isTimed) iterations else durationS
        if (asked == null || other != null) {
            val length = if (mode.isTimed) "duration_s and not iterations" else "iterations and not duration_s"
            throw InvalidException(listOf(Violation(place, "Value error, mode ${mode.name.lowercase()} needs $length")))
        }
        if (energy && !mode.isTimed) {
            throw InvalidException(listOf(Violation(place, "Value error, energy needs mode sustained or camera")))
        }
    }
}
