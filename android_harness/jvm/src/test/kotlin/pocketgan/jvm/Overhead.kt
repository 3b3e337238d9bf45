package pocketgan.jvm

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import java.nio.file.Paths
import pocketgan.bundle.openBundle
import pocketgan.measure.Measurement
import pocketgan.measure.ModelPlan
import pocketgan.measure.NanoClock
import pocketgan.measure.Work
import pocketgan.measure.planModel
import pocketgan.onnxruntime.OnnxRuntimeEngine
import pocketgan.schema.Job
import pocketgan.schema.Warmup

private const val FRAMES = 50
private const val ROUNDS = 20

/**
 * Nanoseconds from one frame's start to the next one's in the measuring loop, and in a bare loop over the same runtime,
 * one pair a line; they take turns, round by round. `OverheadKt BUNDLE ENTRY`, an entry that takes pixels.
 */
fun main(arguments: Array<String>) {
    openBundle(Paths.get(arguments[0])).use { bundle ->
        val rule = Warmup(iterations = 5, timeoutS = 0.0)
        val job = Job(
            bundle = bundle.digest, entry = arguments[1], warmup = rule, iterations = FRAMES.toLong(), rounds = 1,
            coldRepeats = 0,
        )
        val clock = NanoClock(System::nanoTime)
        val measurement = Measurement("s", "p", listOf(OnnxRuntimeEngine()), JvmSurroundings(clock, null), clock)
        BareLoop(planModel(bundle, bundle.entry(job.entry), job)).use { bare ->
            repeat(ROUNDS) {
                val result = measurement.measure(listOf(Work(job, bundle))).single()
                check(result.errors.isEmpty()) { result.errors }
                val frames = result.frames
                val loop = frames.zipWithNext { before, after -> after.startNs - before.startNs }
                loop.zip(bare.run()).forEach { (ours, theirs) -> println("$ours $theirs") }
            }
        }
    }
}

/** Nothing but the runtime: run, read the output, again. */
private class BareLoop(plan: ModelPlan) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session = OrtSession.SessionOptions().use { options ->
        options.setIntraOpNumThreads(1)
        options.setInterOpNumThreads(1)
        environment.createSession("${plan.file}", options)
    }
    private val input = plan.inputs.single().let { tensor ->
        val type = session.inputInfo.values.single().info as TensorInfo
        val golden = tensor.golden
        mapOf(tensor.spec.name to OnnxTensor.createTensor(environment, golden.data, golden.shape, type.type))
    }

    fun run(): List<Long> {
        repeat(5) { frame() }
        val stamps = LongArray(FRAMES)
        for (number in stamps.indices) {
            stamps[number] = System.nanoTime()
            frame()
        }
        return stamps.asList().zipWithNext { before, after -> after - before }
    }

    private fun frame() = session.run(input).use { (it.get(0) as OnnxTensor).byteBuffer.get(0) }

    override fun close() = session.close()
}
