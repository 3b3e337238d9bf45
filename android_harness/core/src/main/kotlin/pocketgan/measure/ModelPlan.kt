package pocketgan.measure

import java.nio.file.Path
import pocketgan.bundle.Bundle
import pocketgan.bundle.Component
import pocketgan.bundle.DamageException
import pocketgan.bundle.Drawing
import pocketgan.bundle.Entry
import pocketgan.bundle.GoldenTensor
import pocketgan.bundle.Parity
import pocketgan.bundle.PatchedFiles
import pocketgan.bundle.TensorSpec
import pocketgan.bundle.drawing
import pocketgan.bundle.patchedFile
import pocketgan.json.quote
import pocketgan.schema.Job

/** Parity below which an output is wrong where the export does not say, in dB. */
const val DEFAULT_FLOOR_DB = 30.0

/** Rounding differs between processors; a model exported below its floor is held to what it had, less this. */
private const val BELOW_FLOOR_MARGIN_DB = 3.0

/** Beside the bundles of a session, where what patches make of their files lies. */
private const val PATCHED = "patched"

/** One tensor of a model's contract with its golden values, in the golden file's own type. */
class TensorPlan(val spec: TensorSpec, val golden: Tensor)

/**
 * A model to run: the file that its runtime opens, its contract, and the parity (dB) below which it is wrong.
 *
 * @property writtenFor the version of the runtime that the bundle names.
 */
class ModelPlan(
    val file: Path,
    val inputs: List<TensorPlan>,
    val outputs: List<TensorPlan>,
    val floorDb: Double,
    val repeat: Int,
    val writtenFor: String,
)

/**
 * The plan of the job's component and concept; of an entry with one component that needs no name. The files are the
 * unpacked bundle's own, or what [patched] makes of them.
 *
 * @throws RefusedException there is no such component, its entry point is none of its files, a tensor has no golden
 *   values, or no engine here can draw the concept.
 * @throws pocketgan.bundle.BundleException the bundle or the entry has no such concept, or its patch is damaged.
 */
fun planModel(
    bundle: Bundle, entry: Entry, job: Job, patched: PatchedFiles = PatchedFiles(bundle.path.resolveSibling(PATCHED)),
): ModelPlan {
    val component = entry.components.firstOrNull { job.component == null || job.component == it.name }
    if (component == null || (job.component == null && entry.components.size > 1)) {
        val there = entry.components.joinToString { it.name }
        throw RefusedException("entry ${entry.id} has the components $there, name one of them")
    }
    val drawing = bundle.drawing(entry, job.concept)
    if (drawing.function != null) {
        throw RefusedException(
            "concept ${drawing.concept} is a function of entry ${entry.id}, which the engines here cannot call",
        )
    }
    return ModelPlan(
        file = fileOf(bundle, drawing, component, patched),
        inputs = tensors(bundle, component.inputs, drawing.inputs),
        outputs = tensors(bundle, component.outputs, drawing.outputs),
        floorDb = floorDb(drawing.parity),
        // A component of several is sampled alone; the host knows how often an edit runs it.
        repeat = if (job.component == null) Math.toIntExact(component.repeat) else 1,
        writtenFor = entry.runtimeVersion,
    )
}

private fun fileOf(bundle: Bundle, drawing: Drawing, component: Component, patched: PatchedFiles): Path {
    val model = try {
        drawing.model(component)
    } catch (none: DamageException) {
        throw RefusedException("${none.message}")
    }
    return patchedFile(bundle, drawing, component, patched) ?: bundle.path.resolve(model)
}

private fun floorDb(parity: Parity?): Double {
    if (parity == null) return DEFAULT_FLOOR_DB
    val measured = parity.psnrDb ?: return parity.floorDb
    return if (measured >= parity.floorDb) parity.floorDb else measured - BELOW_FLOOR_MARGIN_DB
}

private fun tensors(bundle: Bundle, contract: List<TensorSpec>, golden: List<GoldenTensor>): List<TensorPlan> =
    contract.map { spec ->
        val values = golden.firstOrNull { it.name == spec.name }
            ?: throw RefusedException("the bundle has no golden values for tensor ${quote(spec.name)}")
        TensorPlan(spec, Tensor.ofLittleEndian(values.dtype, values.shape.toLongArray(), bundle.read(values.file.path)))
    }
