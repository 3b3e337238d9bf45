package pocketgan.bundle

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.JsonObject
import pocketgan.json.Above
import pocketgan.json.AtLeast
import pocketgan.json.AtMost
import pocketgan.json.Characters
import pocketgan.json.Items
import pocketgan.json.Matches
import pocketgan.json.Tuple

/** The manifest's format version that this reader knows whole; the models are those of core/bundle/manifest.py. */
const val FORMAT_VERSION = "1.3"

const val SHA256_PATTERN = "^[0-9a-f]{64}$"
const val NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
private const val PART = "/[A-Za-z0-9_]([A-Za-z0-9_.+@ -]*[A-Za-z0-9_+@-])?"
private const val PATH_PATTERN = "^(models|golden|LICENSES)($PART)+$"
private const val LARGEST_COUNT = 1L shl 20

@Serializable
enum class Role {
    @SerialName("student") STUDENT,
    @SerialName("teacher") TEACHER,
    @SerialName("unpruned") UNPRUNED,
    @SerialName("diffusion") DIFFUSION,
    @SerialName("foreign") FOREIGN,
}

@Serializable
enum class Layout { NCHW, NHWC }

@Serializable
enum class ColourSpace { RGB }

/** Type of a tensor's numbers, and how many bytes each takes. */
@Serializable
enum class DType(val bytes: Int) {
    @SerialName("float32") FLOAT32(4),
    @SerialName("float16") FLOAT16(2),
    @SerialName("uint8") UINT8(1),
    @SerialName("int32") INT32(4),
    @SerialName("int64") INT64(8),
}

/** One file of the bundle: its path inside, its size in bytes and its SHA-256. */
@Serializable
data class FileRecord(
    @Characters(max = 512) @Matches(PATH_PATTERN) val path: String,
    @AtLeast(0) @AtMost(Long.MAX_VALUE) val bytes: Long,
    @Matches(SHA256_PATTERN) val sha256: String,
)

/** Contract of one input or output tensor; [valueRange] are the values of black and white. */
@Serializable
data class TensorSpec(
    val name: String,
    @Items(max = 16) @Above(0) @AtMost(LARGEST_COUNT) val shape: List<Long>,
    val layout: Layout?,
    val dtype: DType,
    @SerialName("value_range") @Tuple(2) val valueRange: List<Double>?,
    @SerialName("colour_space") val colourSpace: ColourSpace?,
)

/** One file set that a runtime loads, and how often it runs per edit ([repeat]). */
@Serializable
data class Component(
    @Matches(NAME_PATTERN) val name: String,
    @SerialName("entry_point") val entryPoint: String,
    @Items(min = 1) val files: List<FileRecord>,
    @Items(min = 1) val inputs: List<TensorSpec>,
    @Items(min = 1) val outputs: List<TensorSpec>,
    @AtLeast(1) @AtMost(LARGEST_COUNT) val repeat: Long = 1,
)

/** How much of the graph the target's accelerator takes; [fallen] counts operators that stay outside. */
@Serializable
data class Delegation(
    @SerialName("delegated_fraction") @AtLeast(0) @AtMost(1) val delegatedFraction: Double,
    @AtLeast(0) @AtMost(Long.MAX_VALUE) val subgraphs: Long,
    @AtLeast(0) @AtMost(Long.MAX_VALUE) val fallen: Map<String, Long> = emptyMap(),
)

/** Agreement with the float32 source module on the golden inputs; [psnrDb] is null where it is infinite. */
@Serializable
data class Parity(
    @SerialName("psnr_db") val psnrDb: Double?,
    @SerialName("max_abs_error") @AtLeast(0) val maxAbsError: Double,
    @AtLeast(-1) @AtMost(1) val ssim: Double? = null,
    @SerialName("floor_db") val floorDb: Double,
    val runtime: String,
)

/** A file that was written and run while mixed precision was sought. */
@Serializable
data class Trial(
    @AtLeast(0) @AtMost(Long.MAX_VALUE) val layers: Map<String, Long>,
    @SerialName("low_macs") @AtLeast(0) @AtMost(1) val lowMacs: Double,
    @AtLeast(0) @AtMost(Long.MAX_VALUE) val bytes: Long,
    @SerialName("psnr_db") val psnrDb: Double?,
)

/** One exported form; [id] is its name everywhere. */
@Serializable
data class Entry(
    @Matches(NAME_PATTERN) val id: String,
    val target: String,
    val precision: String,
    val runtime: String,
    @SerialName("runtime_version") val runtimeVersion: String,
    @SerialName("minimum_os") val minimumOs: String? = null,
    @Matches(NAME_PATTERN) val golden: String,
    val delegation: Delegation? = null,
    val parity: Parity? = null,
    val unchecked: String? = null,
    @SerialName("trade_off") val tradeOff: List<Trial> = emptyList(),
    @Items(min = 1) val components: List<Component>,
)

/** A raw little-endian C-order tensor. */
@Serializable
data class GoldenTensor(
    val name: String,
    val dtype: DType,
    @Items(max = 16) @Above(0) @AtMost(LARGEST_COUNT) val shape: List<Long>,
    val file: FileRecord,
)

/** Inputs and what should come of them, for one I/O contract; [inputsOf] names the set that holds the inputs. */
@Serializable
data class GoldenSet(
    @Matches(NAME_PATTERN) val id: String,
    val reference: String? = null,
    @SerialName("inputs_of") @Matches(NAME_PATTERN) val inputsOf: String? = null,
    @Items(min = 1) val inputs: List<GoldenTensor>,
    @Items(min = 1) val outputs: List<GoldenTensor>,
)

/** How an entry draws one concept: another file, a patch of its file (see Patch.kt), or another function of it. */
@Serializable
data class ConceptForm(
    @Matches(NAME_PATTERN) val entry: String,
    val way: Way,
    @Characters(min = 1, max = 512) val name: String,
    @Matches(NAME_PATTERN) val golden: String,
    val parity: Parity? = null,
    val unchecked: String? = null,
) {
    @Serializable
    enum class Way {
        @SerialName("model") MODEL,
        @SerialName("patch") PATCH,
        @SerialName("function") FUNCTION,
    }
}

/** An effect of a pack; its [forms] by entry, none for the default, which the entries draw as they stand. */
@Serializable
data class Concept(
    @Matches(NAME_PATTERN) val name: String,
    val text: String,
    @Matches(SHA256_PATTERN) val adapter: String? = null,
    val forms: List<ConceptForm> = emptyList(),
)

/** Cost at batch 1. */
@Serializable
data class Cost(
    @AtLeast(0) @AtMost(Long.MAX_VALUE) val params: Long,
    @AtLeast(0) @AtMost(Long.MAX_VALUE) val macs: Long,
    @SerialName("macs_by_output") @AtLeast(0) @AtMost(Long.MAX_VALUE) val macsByOutput: Long,
)

/** What an edit of a diffusion editor is made of. */
@Serializable
data class Diffusion(
    @AtLeast(1) @AtMost(LARGEST_COUNT) val steps: Long,
    @SerialName("guidance_passes") @AtLeast(1) @AtMost(3) val guidancePasses: Long,
    val weights: String,
)

/** Which model was the teacher, where it was not trained in the run. */
@Serializable
data class Origin(
    val kind: Kind,
    @Characters(min = 1, max = 512) val file: String,
    @Matches(SHA256_PATTERN) val sha256: String? = null,
) {
    @Serializable
    enum class Kind {
        @SerialName("onnx") ONNX,
        @SerialName("bundle") BUNDLE,
        @SerialName("function") FUNCTION,
        @SerialName("weights") WEIGHTS,
    }
}

/** `manifest.json`. Its bytes' SHA-256 is the identity of the bundle. */
@Serializable
data class Manifest(
    @SerialName("format_version") @Matches("^1\\.[0-9]{1,4}$") val formatVersion: String = FORMAT_VERSION,
    @Matches(NAME_PATTERN) val name: String,
    val role: Role,
    val trained: Boolean,
    val spec: JsonObject? = null,
    @SerialName("spec_digest") @Matches(SHA256_PATTERN) val specDigest: String? = null,
    val cost: Cost? = null,
    val quality: Map<String, Double> = emptyMap(),
    val diffusion: Diffusion? = null,
    val teacher: Origin? = null,
    @Items(min = 1) val entries: List<Entry>,
    val golden: List<GoldenSet> = emptyList(),
    val concepts: List<Concept> = emptyList(),
    @SerialName("default_concept") @Matches(NAME_PATTERN) val defaultConcept: String? = null,
    val licenses: List<FileRecord> = emptyList(),
    @SerialName("created_with") val createdWith: Map<String, String> = emptyMap(),
) {
    /** Every file of the bundle but manifest.json and signature.json. */
    fun files(): List<FileRecord> =
        entries.flatMap { entry -> entry.components.flatMap { it.files } } +
            golden.flatMap { set -> (set.inputs + set.outputs).map { it.file } } +
            licenses
}
