package pocketgan.measure

import java.nio.file.Path
import pocketgan.bundle.Bundle
import pocketgan.bundle.Component
import pocketgan.bundle.Entry
import pocketgan.bundle.GoldenTensor
import pocketgan.bundle.TensorSpec
import pocketgan.json.quote
import pocketgan.schema.Job

/** Parity below which an output is wrong where the export does not say, in dB. */
const val DEFAULT_FLOOR_DB = 30.0

/** Rounding differs between processors; a model exported below its floor is held to what it had, less this. */
private const val BELOW_FLOOR_MARGIN_DB = 3.0

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
 * The plan of the job's component; of an entry with one component that needs no name. The files are the unpacked
 * bundle's own.
 *
 * @throws RefusedException there is no such component, its entry point is none of its files, or a tensor has no golden
 *   values.
 */
fun planModel(bundle: Bundle, entry: Entry, job: Job): ModelPlan {
    val component = entry.components.firstOrNull { job.component == null || job.component == it.name }
    if (component == null || (job.component == null && entry.components.size > 1)) {
        val there = entry.components.joinToString { it.name }
        throw RefusedException("entry ${entry.id} has the components $there, name one of them")
    }
    val golden = bundle.manifest.golden.first { it.id == entry.golden }
    return ModelPlan(
        file = bundle.path.resolve(modelPath(component)),
        inputs = tensors(bundle, component.inputs, golden.inputs),
        outputs = tensors(bundle, component.outputs, golden.outputs),
        floorDb = floorDb(entry),
        // A component of several is sampled alone; the host knows how often an edit runs it.
        repeat = if (job.component == null) Math.toIntExact(component.repeat) else 1,
        writtenFor = entry.runtimeVersion,
    )
}

/** Path in the bundle of the file or folder that the runtime opens: the entry point, whole or as a path's end. */
private fun modelPath(component: Component): String {
    val files = component.files.map { it.path }
    // A package is a folder: every folder above a file counts.
    val there = files.flatMap { path -> path.split("/").runningReduce { above, part -> "$above/$part" } }.distinct()
    val named = there.filter { it == component.entryPoint || it.endsWith("/${component.entryPoint}") }
    return named.singleOrNull() ?: files.singleOrNull() ?: throw RefusedException(
        "component ${component.name}: its entry point ${quote(component.entryPoint)} is none of its files",
    )
}

private fun floorDb(entry: Entry): Double {
    val parity = entry.parity ?: return DEFAULT_FLOOR_DB
    val measured = parity.psnrDb ?: return parity.floorDb
    return if (measured >= parity.floorDb) parity.floorDb else measured - BELOW_FLOOR_MARGIN_DB
}

private fun tensors(bundle: Bundle, contract: List<TensorSpec>, golden: List<GoldenTensor>): List<TensorPlan> =
    contract.map { spec ->
        val values = golden.firstOrNull { it.name == spec.name }
            ?: throw RefusedException("the bundle has no golden values for tensor ${quote(spec.name)}")
        TensorPlan(spec, Tensor.ofLittleEndian(values.dtype, values.shape.toLongArray(), bundle.read(values.file.path)))
    }
