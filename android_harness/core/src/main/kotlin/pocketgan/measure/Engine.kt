package pocketgan.measure

import java.io.Closeable
import java.nio.file.Path
import pocketgan.bundle.TensorSpec
import pocketgan.schema.ComputeUnits
import pocketgan.schema.Job
import pocketgan.schema.Placement
import pocketgan.schema.Provider

/** What cannot be measured here, or was refused: one line that says why. */
class RefusedException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** What a runtime is told of a model: the file it opens, the contract, and what to compute it with. */
class ModelRequest(
    val file: Path,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
    val provider: Provider,
    val threads: Int,
    val computeUnits: ComputeUnits,
) {
    constructor(plan: ModelPlan, job: Job) : this(
        plan.file, plan.inputs.map { it.spec }, plan.outputs.map { it.spec }, job.provider,
        Math.toIntExact(job.threads), job.computeUnits,
    )
}

/** One runtime. Whatever it throws belongs to the model that it was given. */
interface Engine {
    /** Its name in manifests (`runtime`). */
    val name: String

    /** The version of the library that runs. */
    val version: String

    /**
     * Load a model, on exactly what was asked for.
     *
     * @throws RefusedException it does not have that provider.
     */
    fun load(request: ModelRequest): LoadedModel
}

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
