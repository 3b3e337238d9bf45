package pocketgan.effects

import pocketgan.bundle.DType
import pocketgan.measure.Engine
import pocketgan.measure.LoadedModel
import pocketgan.measure.ModelRequest
import pocketgan.measure.NanoClock
import pocketgan.measure.RefusedException
import pocketgan.measure.Tensor

internal const val MS = 1_000_000L

/** A clock that only moves when someone says so. */
internal class ScriptedClock(private var ns: Long = 5_000_000_000L) : NanoClock {
    override fun now() = ns

    fun passes(nanoseconds: Long) {
        ns += nanoseconds
    }
}

/** What a model of [ScriptedEngine] does: [frameNs] a frame, and [output] of each number at its n-th run (from 1). */
internal class Script(
    val frameNs: Long = MS,
    val refuses: String? = null,
    val atLoad: () -> Unit = {},
    val atRun: (Int) -> Unit = {},
    val output: (Float, Int) -> Float = { value, _ -> -value },
)

/** A runtime whose models are named by their files' content, and do what [scripts] says. */
internal class ScriptedEngine(
    private val clock: ScriptedClock,
    private val scripts: Map<String, Script>,
    override val name: String = "scripted",
) : Engine {
    override val version = "7"

    /** Names of the models that ran, in order. */
    val ran = ArrayList<String>()
    val closed = ArrayList<String>()

    override fun load(request: ModelRequest): LoadedModel {
        val model = String(request.file.toFile().readBytes())
        val script = scripts.getValue(model)
        script.atLoad()
        script.refuses?.let { throw RefusedException(it) }
        return Model(model, script)
    }

    private inner class Model(private val model: String, private val script: Script) : LoadedModel {
        override val placement = null
        private var runs = 0

        override fun run(inputs: Map<String, Tensor>): List<Tensor> {
            ran += model
            runs += 1
            clock.passes(script.frameNs)
            script.atRun(runs)
            val input = inputs.getValue("x")
            val output = Tensor.zeros(DType.FLOAT32, input.shape)
            for (at in 0 until input.size) output.data.putFloat(4 * at, script.output(input[at].toFloat(), runs))
            return listOf(output)
        }

        override fun close() {
            closed += model
        }
    }
}

/** An entry whose model the scripted engine knows by the same name. */
internal fun scripted(id: String) = TestEntry(id, "scripted", id.toByteArray())
