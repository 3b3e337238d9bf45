package pocketgan.schema

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import pocketgan.bundle.Delegation
import pocketgan.bundle.NAME_PATTERN
import pocketgan.json.Above
import pocketgan.json.AtLeast
import pocketgan.json.AtMost
import pocketgan.json.Matches

// A Result: raw samples of one Job, and the circumstances they were taken in; see bench/schema/result.py.

@Serializable
enum class DeviceKind {
    @SerialName("local") LOCAL,
    @SerialName("android") ANDROID,
    @SerialName("ios") IOS,
    @SerialName("web") WEB,
}

@Serializable
enum class AppBuild {
    @SerialName("debug") DEBUG,
    @SerialName("release") RELEASE,
}

/** What ran the job. */
@Serializable
data class DeviceInfo(
    val name: String,
    val model: String,
    val kind: DeviceKind,
    val os: String,
    @SerialName("os_build") val osBuild: String,
    val cpu: String,
    @AtLeast(1) val cores: Long,
    @SerialName("memory_bytes") @AtLeast(0) val memoryBytes: Long,
    val simulated: Boolean = false,
)

/** State of the device at one moment; null where the OS does not tell. */
@Serializable
data class Conditions(
    @SerialName("at_ns") val atNs: Long,
    @SerialName("thermal_state") val thermalState: ThermalState? = null,
    @SerialName("temperature_c") val temperatureC: Double? = null,
    @SerialName("frequency_mhz") val frequencyMhz: Double? = null,
    @SerialName("load_average") val loadAverage: Double? = null,
    @SerialName("battery_percent") val batteryPercent: Double? = null,
    val charging: Boolean? = null,
    @SerialName("thermal_headroom") @AtLeast(0) val thermalHeadroom: Double? = null,
    @SerialName("power_w") val powerW: Double? = null,
    @SerialName("power_save") val powerSave: Boolean? = null,
    @SerialName("screen_on") val screenOn: Boolean? = null,
    @SerialName("current_a") val currentA: Double? = null,
    @SerialName("voltage_v") @Above(0) val voltageV: Double? = null,
    @SerialName("charge_mah") @AtLeast(0) val chargeMah: Double? = null,
    @SerialName("refresh_hz") @Above(0) val refreshHz: Double? = null,
    @SerialName("sustained_performance") val sustainedPerformance: Boolean? = null,
    @SerialName("performance_hint") val performanceHint: Boolean? = null,
    val visible: Boolean? = null,
)

/** One timed frame: its start on the device's monotonic clock and its three parts, in nanoseconds. */
@Serializable
data class Frame(
    @SerialName("start_ns") val startNs: Long,
    @SerialName("pre_ns") @AtLeast(0) val preNs: Long,
    @SerialName("inference_ns") @AtLeast(0) val inferenceNs: Long,
    @SerialName("post_ns") @AtLeast(0) val postNs: Long,
    @AtLeast(0) val round: Long,
    @SerialName("end_ns") val endNs: Long? = null,
    @SerialName("capture_ns") val captureNs: Long? = null,
    @SerialName("display_ns") val displayNs: Long? = null,
    @SerialName("display_estimated") val displayEstimated: Boolean? = null,
)

/** What the warm-up rule of the Job came to; not [steady] where it ran out of time. */
@Serializable
data class WarmedUp(
    @AtLeast(0) val iterations: Long,
    @SerialName("duration_ns") @AtLeast(0) val durationNs: Long,
    val steady: Boolean,
)

/** What the cool-down gate came to; [cool] is null where the OS tells neither thermal state nor temperature. */
@Serializable
data class CooledDown(
    @SerialName("waited_s") @AtLeast(0) val waitedS: Double,
    val cool: Boolean?,
)

/** Peak resident memory of a separate pass, in bytes. */
@Serializable
data class Memory(
    @SerialName("runtime_bytes") @AtLeast(0) val runtimeBytes: Long,
    @SerialName("peak_bytes") @AtLeast(0) val peakBytes: Long,
)

/** Agreement with the golden outputs on this device; [psnrDb] is null where it is infinite. */
@Serializable
data class MeasuredParity(
    @SerialName("psnr_db") val psnrDb: Double?,
    @SerialName("max_abs_error") @AtLeast(0) val maxAbsError: Double,
)

/** Where a model ran, as evidence; what cannot be known is null. */
@Serializable
data class Placement(
    val requested: String,
    @AtLeast(0) @AtMost(Long.MAX_VALUE) val planned: Map<String, Long>? = null,
    val registered: List<String>? = null,
    @SerialName("cpu_ns") @AtLeast(0) val cpuNs: Long? = null,
    val observed: String? = null,
)

/** The clock regime that the frames were measured in, with the frequencies read back, in MHz. */
@Serializable
data class Clock(
    val regime: ClockRegime,
    @SerialName("before_mhz") @Above(0) val beforeMhz: Double? = null,
    @SerialName("after_mhz") @Above(0) val afterMhz: Double? = null,
)

/** What the host saw of a phone's power, before and after an energy Job; a device gives none. */
@Serializable
data class ChargerCheck(val at: String, val usb: Boolean, val charger: Boolean?, val simulated: Boolean)

/** The page that measured in a browser; an app gives none. */
@Serializable
data class Page(
    val browser: String,
    val isolated: Boolean,
    @SerialName("timer_step_ns") @AtLeast(0) val timerStepNs: Long,
    val gpu: String? = null,
    @AtLeast(1) val threads: Long,
    @SerialName("begun_again") @AtLeast(0) val begunAgain: Long = 0,
)

/** Everything a device has to say about one Job; the host does all statistics. */
@Serializable
data class Result(
    @SerialName("schema_version") @Matches(VERSION_PATTERN) val schemaVersion: String = SCHEMA_VERSION,
    val session: String,
    val job: Job,
    @SerialName("bundle_name") @Matches(NAME_PATTERN) val bundleName: String,
    val device: DeviceInfo,
    val runtime: String,
    @SerialName("runtime_version") val runtimeVersion: String,
    @SerialName("app_build") val appBuild: AppBuild,
    @SerialName("started_at") val startedAt: String,
    val process: String = "",
    @SerialName("cool_down") val coolDown: CooledDown? = null,
    val warmup: WarmedUp? = null,
    @SerialName("file_cache") val fileCache: List<Double> = emptyList(),
    val composed: Boolean = false,
    @SerialName("cold_load_ns") val coldLoadNs: List<Long> = emptyList(),
    @SerialName("warm_load_ns") val warmLoadNs: List<Long> = emptyList(),
    @SerialName("first_inference_ns") val firstInferenceNs: List<Long> = emptyList(),
    val frames: List<Frame> = emptyList(),
    val memory: Memory? = null,
    val conditions: List<Conditions> = emptyList(),
    val delegation: Delegation? = null,
    val parity: MeasuredParity? = null,
    @SerialName("parity_after") val parityAfter: MeasuredParity? = null,
    val placement: Placement? = null,
    val clock: Clock? = null,
    @SerialName("dropped_frames") @AtLeast(0) val droppedFrames: Long? = null,
    @SerialName("charger_checks") val chargerChecks: List<ChargerCheck> = emptyList(),
    val page: Page? = null,
    val errors: List<String> = emptyList(),
)
