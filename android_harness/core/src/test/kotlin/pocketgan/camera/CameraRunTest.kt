package pocketgan.camera

import java.io.File
import java.nio.file.Paths
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import pocketgan.bundle.ColourSpace
import pocketgan.bundle.DType
import pocketgan.bundle.Layout
import pocketgan.bundle.TensorSpec
import pocketgan.measure.CancelledException
import pocketgan.measure.LoadedModel
import pocketgan.measure.ModelPlan
import pocketgan.measure.RefusedException
import pocketgan.measure.ScriptedClock
import pocketgan.measure.Tensor
import pocketgan.measure.TensorPlan
import pocketgan.measure.TimedModel
import pocketgan.schema.Frame

private const val MS = 1_000_000L

class CameraRunTest {
    @Serializable
    private class Case(
        val name: String,
        @SerialName("captures_ns") val capturesNs: List<Long>,
        @SerialName("delay_ns") val delayNs: Long,
        @SerialName("frame_ns") val frameNs: Long,
        @SerialName("duration_ns") val durationNs: Long,
        @SerialName("shown_after_ns") val shownAfterNs: List<Long?>,
        val taken: List<Int>,
        @SerialName("starts_ns") val startsNs: List<Long>,
        @SerialName("displays_ns") val displaysNs: List<Long?>,
        val dropped: Long,
    )

    @Serializable
    private class Vectors(val about: String, val cases: List<Case>)

    private val clock = ScriptedClock(0)

    @Test
    fun `frames are taken, dropped and shown as the vectors say`() {
        val file = File(System.getProperty("pocketgan.schema"), "conformance/camera.json")
        val cases = Json.decodeFromString<Vectors>(file.readText()).cases
        assertTrue(cases.isNotEmpty())
        for (case in cases) {
            val clock = ScriptedClock(0)
            val camera = ScriptedCamera(clock, case.capturesNs, case.delayNs, case.shownAfterNs)
            val frames = ArrayList<Frame>()
            val dropped = CameraRun(pixels(clock, case.frameNs), camera, clock).measure(case.durationNs, frames) {}
            assertEquals(case.taken.map { case.capturesNs[it] }, frames.map { it.captureNs }, case.name)
            assertEquals(case.startsNs, frames.map { it.startNs }, case.name)
            assertEquals(case.displaysNs, frames.map { it.displayNs }, case.name)
            assertEquals(case.dropped, dropped, case.name)
            assertEquals(camera.handedOut, camera.closed, case.name)
        }
    }

    @Test
    fun `a frame is an edit of the camera's picture, in pixels as in float32`() {
        for (make in listOf(::pixels, ::floats)) {
            val camera = ScriptedCamera(clock, listOf(clock.now()), 0, listOf(MS), fill = 200)
            CameraRun(make(clock, MS), camera, clock).warmUpFrame()
            // The model subtracts from white: 255 - 200.
            assertEquals(List(12) { 55 }, camera.screen.last().map { it.toInt() })
        }
    }

    @Test
    fun `parts of a frame are told apart, and its wait for the camera is in none of them`() {
        val camera = ScriptedCamera(clock, listOf(0, 40 * MS, 90 * MS), 0, listOf(MS), readingNs = 3 * MS)
        val frames = ArrayList<Frame>()
        CameraRun(pixels(clock, 8 * MS), camera, clock).measure(40 * MS, frames) {}
        assertEquals(List(2) { 3 * MS to 8 * MS }, frames.map { it.preNs to it.inferenceNs })
    }

    @Test
    fun `pictures of the warm-up are shown and not counted`() {
        val camera = ScriptedCamera(clock, List(5) { it * 10 * MS }, 0, listOf(MS))
        val run = CameraRun(pixels(clock, MS), camera, clock)
        assertEquals(MS, run.warmUpFrame())
        run.warmUpFrame()
        val frames = ArrayList<Frame>()
        run.measure(10 * MS, frames) {}
        assertEquals(listOf<Long?>(22 * MS, 32 * MS), frames.map { it.displayNs })
        assertEquals(listOf<Boolean?>(true, true), frames.map { it.displayEstimated })
    }

    @Test
    fun `a camera that stops is told in one line, and what was measured stays`() {
        val camera = ScriptedCamera(clock, List(3) { it * 10 * MS }, 0, listOf(MS), failsAtEnd = "the camera was taken away")
        val frames = ArrayList<Frame>()
        val refused = assertFailsWith<RefusedException> {
            CameraRun(pixels(clock, MS), camera, clock).measure(1000 * MS, frames) {}
        }
        assertEquals("the camera was taken away", refused.message)
        assertEquals(3, frames.size)
    }

    @Test
    fun `a camera that gives nothing is not waited for without end`() {
        val silent = ScriptedCamera(clock, emptyList(), 0, listOf(MS))
        val refused = assertFailsWith<RefusedException> { CameraRun(pixels(clock, MS), silent, clock).warmUpFrame() }
        assertTrue("no frame for 5 s" in refused.message!!)
        assertEquals(5_000 * MS, clock.now())
    }

    @Test
    fun `stamps of another clock are refused`() {
        for (stamp in listOf(-3_000 * MS, 1 * MS)) {
            // It says that it was captured three seconds before it came, or after it.
            val camera = ScriptedCamera(clock, listOf(clock.now() + stamp), -stamp, listOf(MS))
            val refused = assertFailsWith<RefusedException> { CameraRun(pixels(clock, MS), camera, clock).warmUpFrame() }
            assertTrue("another clock" in refused.message!!)
        }
    }

    @Test
    fun `a cancelled run ends between two frames, and every frame is given back`() {
        val camera = ScriptedCamera(clock, List(9) { it * 10 * MS }, 0, listOf(MS))
        val frames = ArrayList<Frame>()
        assertFailsWith<CancelledException> {
            CameraRun(pixels(clock, MS), camera, clock).measure(1000 * MS, frames) {
                if (frames.size == 2) throw CancelledException()
            }
        }
        assertEquals(2, frames.size)
        assertEquals(2, camera.closed)
    }

    @Test
    fun `a model that takes no picture is refused`() {
        val numbers = TensorSpec("x", listOf(1, 4), null, DType.FLOAT32, null, null)
        val refused = assertFailsWith<RefusedException> { LivePictures.of(model(numbers, clock, MS), clock) }
        assertTrue("takes one picture" in refused.message!!)
    }

    @Test
    fun `after the camera it is the golden input that is computed once more, not the last picture`() {
        for ((spec, white) in listOf(inPixels to 255.0, inFloats to 1.0)) {
            val model = model(spec, clock, MS)
            val camera = ScriptedCamera(clock, listOf(clock.now()), 0, listOf(MS), fill = 200)
            CameraRun(LivePictures.of(model, clock), camera, clock).warmUpFrame()
            model.goldenFrame()
            // It is black.
            assertEquals(white, model.outputs.single()[0])
        }
    }

    private val inPixels =
        TensorSpec("x", listOf(1, 2, 2, 3), Layout.NHWC, DType.UINT8, listOf(0.0, 255.0), ColourSpace.RGB)
    private val inFloats =
        TensorSpec("x", listOf(1, 3, 2, 2), Layout.NCHW, DType.FLOAT32, listOf(0.0, 1.0), ColourSpace.RGB)

    private fun pixels(clock: ScriptedClock, frameNs: Long) = LivePictures.of(model(inPixels, clock, frameNs), clock)

    private fun floats(clock: ScriptedClock, frameNs: Long) = LivePictures.of(model(inFloats, clock, frameNs), clock)

    /** Subtracts its input from white in [frameNs]. */
    private fun model(spec: TensorSpec, clock: ScriptedClock, frameNs: Long): TimedModel {
        val golden = Tensor.zeros(spec.dtype, spec.shape.toLongArray())
        val tensor = TensorPlan(spec, golden)
        val model = object : LoadedModel {
            override val placement = null

            override fun run(inputs: Map<String, Tensor>): List<Tensor> {
                clock.passes(frameNs)
                val (from, made) = inputs.getValue("x") to Tensor.zeros(spec.dtype, spec.shape.toLongArray())
                for (at in 0 until from.size) {
                    if (spec.dtype == DType.UINT8) made.data.put(at, (255 - from[at]).toInt().toByte())
                    else made.data.putFloat(4 * at, (1 - from[at]).toFloat())
                }
                return listOf(made)
            }

            override fun close() = Unit
        }
        return TimedModel(ModelPlan(Paths.get("x"), listOf(tensor), listOf(tensor), 30.0, 1, "1"), model, clock)
    }
}

/** A camera whose frames come at scripted times, and a screen that tells scripted ones. */
internal class ScriptedCamera(
    private val clock: ScriptedClock,
    private val capturesNs: List<Long>,
    private val delayNs: Long,
    private val shownAfterNs: List<Long?>,
    private val fill: Int = 0,
    private val readingNs: Long = 0,
    private val failsAtEnd: String? = null,
) : CameraSession {
    private var next = 0
    private var replaced = 0L
    private val shown = ArrayList<DisplayTime?>()
    val screen = ArrayList<ByteArray>()
    var handedOut = 0
    var closed = 0
    var isClosed = false

    override val about = "scripted"

    override val dropped: Long get() {
        val come = (next until capturesNs.size).count { capturesNs[it] + delayNs <= clock.now() }
        return replaced + maxOf(0, come - 1)
    }

    override fun next(timeoutNs: Long): CameraFrame? {
        if (next == capturesNs.size) {
            failsAtEnd?.let { throw RefusedException(it) }
            clock.passes(timeoutNs)
            return null
        }
        replaced = dropped
        clock.passes(maxOf(0, capturesNs[next] + delayNs - clock.now()))
        while (next + 1 < capturesNs.size && capturesNs[next + 1] + delayNs <= clock.now()) next += 1
        handedOut += 1
        val captured = capturesNs[next++]
        return object : CameraFrame {
            override val captureNs = captured

            override fun copyTo(picture: ByteArray) {
                clock.passes(readingNs)
                picture.fill(fill.toByte())
            }

            override fun close() {
                closed += 1
            }
        }
    }

    override fun show(number: Int, picture: ByteArray, width: Int, height: Int) {
        assertEquals(shown.size, number)
        assertEquals(3 * width * height, picture.size)
        screen += picture.clone()
        val after = shownAfterNs[minOf(number, shownAfterNs.lastIndex)]
        shown += after?.let { DisplayTime(clock.now() + it, estimated = true) }
    }

    override fun displayTimes(count: Int): List<DisplayTime?> = shown.take(count)

    override fun close() {
        isClosed = true
    }
}
