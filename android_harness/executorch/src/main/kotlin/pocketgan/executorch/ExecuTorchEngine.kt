package pocketgan.executorch

import pocketgan.measure.Engine
import pocketgan.measure.LoadedModel
import pocketgan.measure.ModelRequest
import pocketgan.measure.RefusedException
import pocketgan.measure.Release
import pocketgan.measure.Tensor
import pocketgan.measure.engineTooOld
import pocketgan.schema.Placement
import pocketgan.schema.Provider

/**
 * The library that the app is built with (`executorch.version` in pom.xml), which does not tell it, nor its patch number.
 */
internal const val EXECUTORCH_VERSION = "1.3"

/**
 * The newest release whose files it was seen to run. ExecuTorch itself promises only what is older than the library
 * (runtime/COMPATIBILITY.md there): the schemas of programs and of the XNNPACK and Vulkan delegates are those of 1.4,
 * and 1.3.1 ran what 1.4.1 wrote. See tests/android_harness/test_versions.py.
 */
internal const val READS_FILES_OF = "1.4"

/** The method of a program that is its model. */
internal const val METHOD = "forward"

private const val XNNPACK = "XnnpackBackend"

/** The backends that a program may call where a Job asks for a provider; null where any will do. */
private val BACKENDS = mapOf(
    Provider.DEFAULT to null,
    // XNNPACK computes on the CPU too.
    Provider.CPU to setOf(XNNPACK),
    Provider.XNNPACK to setOf(XNNPACK),
    Provider.VULKAN to setOf("VulkanBackend"),
    Provider.QNN to setOf("QnnBackend"),
)

/**
 * ExecuTorch with a fixed number of threads in its pool. What a program calls was decided when it was exported: a
 * provider that a Job names is held against it.
 */
class ExecuTorchEngine internal constructor(private val runtime: ProgramRuntime) : Engine {
    constructor() : this(LibraryRuntime())

    private val registered by lazy { started { runtime.registeredBackends() } }

    override val name = "executorch"

    override val version = EXECUTORCH_VERSION

    override fun start() {
        started { runtime.start() }
    }

    override fun load(request: ModelRequest): LoadedModel {
        mustBeReadable(request.writtenFor)
        start()
        val program = started { runtime.open(request.file, request.threads) }
        try {
            mustBeThere(program.backends(), request)
            program.prepare()
        } catch (problem: Throwable) {
            program.close()
            throw problem
        }
        val placement = Placement(requested = request.provider.name.lowercase(), registered = registered)
        return ExecuTorchModel(program, request.inputs.map { it.name }, placement)
    }

    override fun planned(request: ModelRequest, inputs: Map<String, Tensor>): Map<String, Long>? =
        plannedCalls(request.file, METHOD)

    private fun mustBeReadable(writtenBy: String) {
        val file = Release.of(writtenBy) ?: return
        if (file <= Release.of(READS_FILES_OF)!!) return
        val reads = "files of $READS_FILES_OF and older"
        throw engineTooOld("ExecuTorch $version", reads, "one of $writtenBy", "ExecuTorch $file or newer")
    }

    private fun mustBeThere(called: List<String>, request: ModelRequest) {
        (called - registered.toSet()).firstOrNull()?.let { missing ->
            throw RefusedException(
                "the file calls $missing, which the ExecuTorch of this app does not have; it has " +
                    "${registered.joinToString()}: build the app with one that has it, or export another target",
            )
        }
        val provider = request.provider.name.lowercase()
        if (request.provider !in BACKENDS) throw RefusedException("ExecuTorch has no provider $provider")
        val wanted = BACKENDS[request.provider] ?: return
        // Without any backend, ExecuTorch's own operators run, on the CPU.
        val fits = if (request.provider == Provider.CPU) wanted.containsAll(called) else called.any { it in wanted }
        if (fits) return
        val calls = if (called.isEmpty()) "no backend" else called.joinToString()
        throw RefusedException("provider $provider was asked for, and the file calls $calls, as it was exported")
    }

    private fun <T> started(use: () -> T): T =
        try {
            use()
        } catch (problem: LinkageError) {
            val why = (problem.cause ?: problem).toString().lineSequence().first()
            throw RefusedException("the libraries of ExecuTorch cannot be loaded here: $why", problem)
        }
}

private class ExecuTorchModel(
    private val program: Program,
    private val inputs: List<String>,
    override val placement: Placement,
) : LoadedModel {
    /** Where outputs are copied to, which reading them is; made by the first run. */
    private var outputs: List<Tensor> = emptyList()

    override fun run(inputs: Map<String, Tensor>): List<Tensor> {
        val given = program.forward(this.inputs.map(inputs::getValue))
        val fit = given.size == outputs.size &&
            given.indices.all { given[it].dtype == outputs[it].dtype && given[it].shape.contentEquals(outputs[it].shape) }
        if (!fit) outputs = given.map { Tensor.zeros(it.dtype, it.shape) }
        for ((from, to) in given.zip(outputs)) from.copyTo(to.data.duplicate().order(to.data.order()))
        return outputs
    }

    override fun close() = program.close()
}
