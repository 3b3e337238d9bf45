package pocketgan.measure

import java.io.Closeable
import java.nio.file.Path
import pocketgan.bundle.Entry
import pocketgan.bundle.TensorSpec
import pocketgan.schema.ComputeUnits
import pocketgan.schema.Job
import pocketgan.schema.Placement
import pocketgan.schema.Provider

/** What cannot be measured here, or was refused: one line that says why. */
class RefusedException(message: String, cause: Throwable? = null) : Exception(message, cause)

/**
 * What a runtime is told of a model: the file it opens, the contract, and what to compute it with.
 *
 * @property writtenFor the version of the runtime that the bundle names (`runtime_version`).
 */
data class ModelRequest(
    val file: Path,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
    val provider: Provider,
    val threads: Int,
    val computeUnits: ComputeUnits,
    val writtenFor: String,
) {
    constructor(plan: ModelPlan, job: Job) : this(
        plan.file, plan.inputs.map { it.spec }, plan.outputs.map { it.spec }, job.provider,
        Math.toIntExact(job.threads), job.computeUnits, plan.writtenFor,
    )
}

/** One runtime. Whatever it throws belongs to the model that it was given. */
interface Engine {
    /** Its name in manifests (`runtime`). */
    val name: String

    /** The version of the library that runs. */
    val version: String

    /** Load the runtime's own libraries, once; a model's load has nothing of it then. */
    fun start() = Unit

    /**
     * Load a model, on exactly what was asked for.
     *
     * @throws RefusedException it does not have that provider, or is too old for the file.
     */
    fun load(request: ModelRequest): LoadedModel

    /**
     * How many nodes each provider or backend was given, by what the runtime itself says of a run of its own; null where
     * it does not tell.
     */
    fun planned(request: ModelRequest, inputs: Map<String, Tensor>): Map<String, Long>? = null

    /** The same on the CPU alone; null where that was asked for, or the file has no such form. */
    fun onCpuAlone(request: ModelRequest): ModelRequest? = null
}

/** @throws RefusedException none of them runs [entry]. */
internal fun List<Engine>.engineOf(entry: Entry): Engine = firstOrNull { it.name == entry.runtime }
    ?: throw RefusedException("runtime ${entry.runtime} is not part of this harness")

/** A model that is ready to run. */
interface LoadedModel : Closeable {
    /** Where it runs, as evidence. */
    val placement: Placement?

    /**
     * Run once. The outputs, in the contract's order, lie in memory when it returns: reading them belongs to the frame.
     * They may be overwritten by the next call.
     *
     * @param inputs by name; few tensors come again and again, with new values.
     */
    fun run(inputs: Map<String, Tensor>): List<Tensor>
}
