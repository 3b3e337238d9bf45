package pocketgan.measure

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import pocketgan.bundle.openSessionBundle
import pocketgan.camera.Camera
import pocketgan.camera.ScriptedCamera
import pocketgan.schema.AppBuild
import pocketgan.schema.Clock
import pocketgan.schema.ClockRegime
import pocketgan.schema.Conditions
import pocketgan.schema.CoolDown
import pocketgan.schema.DeviceInfo
import pocketgan.schema.DeviceKind
import pocketgan.schema.Job
import pocketgan.schema.JobMode
import pocketgan.schema.MeasuredParity
import pocketgan.schema.Memory
import pocketgan.schema.Result
import pocketgan.schema.ThermalState
import pocketgan.schema.WarmedUp

private const val MS = 1_000_000L

class MeasurementTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val clock = ScriptedClock()
    private val engine = FakeEngine(clock)
    private val cancellation = Cancellation()
    private val told = ArrayList<Long>()

    /** Thermal states of the looks at the device, one after the other; the last goes on. */
    private val states = mutableListOf(ThermalState.NOMINAL)

    /** What else the device says of itself. */
    private var state = Conditions(0)

    private val phone = object : Surroundings {
        override val info = DeviceInfo("phone", "P", DeviceKind.ANDROID, "Android 16", "B", "C", 8, 1)
        override val appBuild = AppBuild.RELEASE

        override fun conditions() =
            state.copy(atNs = clock.now(), thermalState = if (states.size > 1) states.removeAt(0) else states[0])

        override fun sleep(seconds: Double) = clock.passes((seconds * 1e9).toLong())
    }

    private fun measurement(memory: MemoryPass = MemoryPass { null }) =
        Measurement("s", "p", listOf(engine), phone, clock, memory, cancellation) { _, done -> told += done }

    private fun work(bundle: TinyBundle, job: Job = bundle.job()) =
        Work(job, openSessionBundle(bundle.folder.toPath(), bundle.digest))

    private fun measured(change: Job.() -> Job = { this }): Result {
        val bundle = TinyBundle(temporary.root)
        return measurement().measure(listOf(work(bundle, bundle.job().change()))).single()
    }

    @Test
    fun `a result holds raw times, cold, warm and first apart, and parity before and after`() {
        val result = measured()
        assertEquals(emptyList(), result.errors)
        assertEquals(listOf(1000 * MS), result.coldLoadNs)
        assertEquals(listOf(1000 * MS), result.warmLoadNs)
        assertEquals(listOf(MS), result.firstInferenceNs)
        assertEquals(WarmedUp(10, 10 * MS, steady = true), result.warmup)
        assertEquals(listOf(0L, 0L, 1L, 1L), result.frames.map { it.round })
        assertEquals(List(4) { MS }, result.frames.map { it.inferenceNs })
        assertEquals(List(3) { MS }, result.frames.zipWithNext { before, after -> after.startNs - before.startNs })
        assertEquals(MeasuredParity(null, 0.0), result.parity)
        assertEquals(MeasuredParity(null, 0.0), result.parityAfter)
        val names = with(result) { listOf(session, process, bundleName, runtime, runtimeVersion) }
        assertEquals(listOf("s", "p-1", "tiny", "fake", "7"), names)
        assertEquals(2, result.conditions.size)
    }

    @Test
    fun `models take turns round by round, each after a frame that does not count`() {
        val (a, b) = listOf("a", "b").map { TinyBundle(temporary.root, it) }
        val results = measurement().measure(listOf(work(a), work(b)))
        // Each: the first run and ten frames of warm-up.
        val warmUp = "a".repeat(10) + "b".repeat(10)
        assertEquals("ab" + warmUp + "aaa" + "bbb" + "bbb" + "aaa", engine.ran.joinToString(""))
        assertEquals(listOf(4, 4), results.map { it.frames.size })
        assertEquals(listOf("p-1", "p-1"), results.map { it.process })
    }

    @Test
    fun `a wrong output is found before any clock, and the others are measured`() {
        val (a, b) = listOf("a", "b").map { TinyBundle(temporary.root, it) }
        engine.factor = { model, _ -> if (model == "a") -2f else 2f }
        val (wrong, right) = measurement().measure(listOf(work(a), work(b)))
        // 12 wide by 2 · (0, 2, 4, 6): 10 log10(36 / 56).
        assertEquals(listOf("wrong output: -1.9 dB from the golden output, 30.0 dB is the floor"), wrong.errors)
        assertEquals(emptyList(), wrong.frames)
        assertEquals(12.0, wrong.parity?.maxAbsError)
        assertEquals(4, right.frames.size)
    }

    @Test
    fun `a model that goes wrong within the frames is found after the last`() {
        engine.factor = { _, run -> if (run == 15) 3f else 2f }
        val result = measured()
        assertEquals(1, result.errors.size)
        assertTrue("after the last frame" in result.errors[0])
        assertEquals(3.0, result.parityAfter?.maxAbsError)
    }

    @Test
    fun `an output that is not finite is no output`() {
        engine.factor = { _, _ -> Float.NaN }
        val result = measured()
        assertEquals(listOf("the output holds values that are not finite"), result.errors)
        assertNull(result.parity)
    }

    @Test
    fun `what a runtime throws is an error of its model`() {
        engine.factor = { _, run -> if (run > 3) throw IllegalStateException("out of tiles\nat tile 7") else 2f }
        val result = measured()
        assertEquals(listOf("the runtime refused the model: IllegalStateException out of tiles"), result.errors)
        assertEquals(MeasuredParity(null, 0.0), result.parity)
    }

    @Test
    fun `a file that is not what the manifest says is an error of its Job`() {
        val bundle = TinyBundle(temporary.root)
        File(bundle.folder, "models/fake-fp32/main/model").writeText("yint")
        val result = measurement().measure(listOf(work(bundle))).single()
        val reason = "models/fake-fp32/main/model is damaged: its SHA-256 is not the one in the manifest"
        assertEquals(listOf("${bundle.folder}: $reason"), result.errors)
        assertEquals(emptyList(), engine.ran)
    }

    @Test
    fun `a model is cold once in a process`() {
        val bundle = TinyBundle(temporary.root)
        val measurement = measurement()
        val (first, second) = List(2) { measurement.measure(listOf(work(bundle))).single() }
        assertEquals(1, first.coldLoadNs.size)
        assertEquals(emptyList(), second.coldLoadNs)
        assertEquals(1, second.warmLoadNs.size)
    }

    @Test
    fun `a sustained run lasts as long as asked, and looks at the device every second`() {
        val result = measured { copy(mode = JobMode.SUSTAINED, iterations = null, durationS = 3.0) }
        assertEquals(3000, result.frames.size)
        assertTrue(result.frames.all { it.round == 0L })
        assertEquals(MeasuredParity(null, 0.0), result.parityAfter)
        // Before, at each second's end, and after.
        assertEquals(5, result.conditions.size)
        assertEquals(3L, told.last())
    }

    private fun Job.camera(seconds: Double) = copy(mode = JobMode.CAMERA, iterations = null, durationS = seconds)

    private fun watched(opened: () -> ScriptedCamera): Result {
        val bundle = TinyBundle(temporary.root, isPicture = true)
        val camera = Camera { width, height ->
            assertEquals(1 to 1, width to height)
            opened()
        }
        val measurement = Measurement("s", "p", listOf(engine), phone, clock, camera = camera) { _, done -> told += done }
        return measurement.measure(listOf(work(bundle, bundle.job().camera(3.0)))).single()
    }

    @Test
    fun `mode camera lasts as long as asked, from the sensor to the screen, with the device's state every second`() {
        lateinit var camera: ScriptedCamera
        val result = watched {
            // Twenty frames a second; the model takes a millisecond.
            val began = clock.now()
            ScriptedCamera(clock, List(100) { began + it * 50 * MS }, 2 * MS, listOf(MS)).also { camera = it }
        }
        assertEquals(emptyList(), result.errors)
        assertEquals(61, result.frames.size)
        assertTrue(result.frames.all { it.startNs - it.captureNs!! == 2 * MS && it.displayNs!! - it.captureNs!! == 4 * MS })
        assertEquals(0, result.droppedFrames)
        assertEquals(WarmedUp(10, 9 * 50 * MS + 3 * MS, steady = true), result.warmup)
        assertEquals("scripted", result.placement?.observed)
        // Golden before, and golden once more after the last picture: a level of 256 apart at most.
        assertEquals(0.0, result.parity?.maxAbsError)
        assertTrue(result.parityAfter!!.maxAbsError in 0.0..2 / 255.0)
        // Before, at each second's end, and after.
        assertEquals(5, result.conditions.size)
        assertEquals(3L, told.last())
        assertTrue(camera.isClosed)
    }

    @Test
    fun `a model that goes wrong before the camera is found after it`() {
        engine.factor = { _, run -> if (run > 20) 0f else 2f }
        val result = watched { ScriptedCamera(clock, List(100) { clock.now() + it * 50 * MS }, 0, listOf(MS)) }
        assertTrue("after the last frame" in result.errors.single())
    }

    @Test
    fun `what keeps the camera from opening is the error of its Result`() {
        val result = watched { throw RefusedException("no camera on this phone") }
        assertEquals(listOf("no camera on this phone"), result.errors)
        assertEquals(emptyList(), result.frames)
    }

    @Test
    fun `a camera that goes away is the error of its Result, and is closed`() {
        lateinit var camera: ScriptedCamera
        val result = watched {
            val began = clock.now()
            ScriptedCamera(clock, List(20) { began + it * 50 * MS }, 0, listOf(MS), failsAtEnd = "taken by another app")
                .also { camera = it }
        }
        assertEquals(listOf("taken by another app"), result.errors)
        assertTrue(camera.isClosed)
    }

    @Test
    fun `overlapping frames have their ends`() {
        val result = measured { copy(mode = JobMode.THROUGHPUT) }
        assertEquals(emptyList(), result.errors)
        assertEquals(4, result.frames.size)
        for (frame in result.frames) assertTrue(frame.endNs!! >= frame.startNs + frame.inferenceNs)
    }

    @Test
    fun `what the harness does not have is refused in one line`() {
        val camera = measured { camera(seconds = 1.0) }
        assertEquals(listOf("mode camera needs the app and its camera"), camera.errors)
        val other = measured { copy(component = "unet") }
        assertEquals(listOf("entry fake-fp32 has the components main, name one of them"), other.errors)
    }

    @Test
    fun `a held clock is read back before and after`() {
        state = Conditions(0, frequencyMhz = 1804.8)
        val held = measured { copy(clock = ClockRegime.PINNED) }
        assertEquals(emptyList(), held.errors)
        assertEquals(Clock(ClockRegime.PINNED, 1804.8, 1804.8), held.clock)
        assertEquals(Clock(ClockRegime.FREE, 1804.8, 1804.8), measured().clock)
    }

    @Test
    fun `a clock that cannot be read back is not believed to be held`() {
        val result = measured { copy(clock = ClockRegime.PINNED) }
        assertTrue("may not read its frequency" in result.errors.single())
        assertEquals(emptyList(), result.frames)
    }

    private fun energetic(): Result = measured { copy(mode = JobMode.SUSTAINED, iterations = null, durationS = 3.0, energy = true) }

    @Test
    fun `energy is measured on the battery alone, with a sample every second`() {
        state = Conditions(0, charging = false, currentA = 0.5, voltageV = 4.0)
        val result = energetic()
        assertEquals(emptyList(), result.errors)
        assertEquals(List(5) { 0.5 as Double? }, result.conditions.map { it.currentA })
    }

    @Test
    fun `energy is refused on a charger, on one that comes later, and where the phone tells nothing`() {
        val unplugged = Conditions(0, charging = false, currentA = 0.5, voltageV = 4.0)
        for (wrong in listOf(unplugged.copy(charging = true), unplugged.copy(charging = null))) {
            state = wrong
            assertTrue("unplug it" in energetic().errors.single())
        }
        state = unplugged.copy(currentA = null)
        assertTrue("does not tell its battery's current" in energetic().errors.single())
        state = unplugged
        engine.factor = { _, run ->
            if (run == 500) state = unplugged.copy(charging = true)
            2f
        }
        val result = energetic()
        assertTrue("a charger is on the phone" in result.errors.single())
        assertTrue(result.frames.size < 3000)
    }

    @Test
    fun `a model that kills its memory process is not loaded`() {
        val bundle = TinyBundle(temporary.root)
        val pass = MemoryPass { throw RefusedException("the model killed the process that ran it") }
        val result = measurement(pass).measure(listOf(work(bundle))).single()
        assertEquals(listOf("the model killed the process that ran it"), result.errors)
        assertEquals(emptyList(), engine.ran)
    }

    @Test
    fun `a runtime that is not part of the harness is named`() {
        val bundle = TinyBundle(temporary.root)
        val nothing = Measurement("s", "p", emptyList(), phone, clock)
        val result = nothing.measure(listOf(work(bundle))).single()
        assertEquals(listOf("runtime fake is not part of this harness"), result.errors)
    }

    @Test
    fun `of several components each is a Job on its own, run once a frame whatever its repeat`() {
        val bundle = TinyBundle(temporary.root, components = listOf("encoder", "unet"), repeat = 3)
        val jobs = listOf("unet", "encoder").map { work(bundle, bundle.job().copy(component = it)) }
        val results = jobs.map { measurement().measure(listOf(it)).single() }
        assertEquals(listOf(4, 4), results.map { it.frames.size })
        assertTrue(results.flatMap { it.frames }.all { it.inferenceNs == MS })
        assertEquals(listOf("unet", "encoder"), engine.ran.distinct())
        val whole = measurement().measure(listOf(work(bundle))).single()
        assertEquals(listOf("entry fake-fp32 has the components encoder, unet, name one of them"), whole.errors)
    }

    @Test
    fun `the only component of an entry runs as often as an edit needs`() {
        val bundle = TinyBundle(temporary.root, repeat = 3)
        val frames = measurement().measure(listOf(work(bundle))).single().frames
        assertEquals(List(4) { 3 * MS }, frames.map { it.inferenceNs })
    }

    @Test
    fun `a cancelled measurement ends between two frames`() {
        engine.factor = { _, run -> if (run == 13) cancellation.cancel().let { 2f } else 2f }
        assertFailsWith<CancelledException> { measured() }
        assertEquals(13, engine.ran.size)
    }

    @Test
    fun `memory is a pass of its own, before anything is loaded`() {
        val bundle = TinyBundle(temporary.root)
        val pass = MemoryPass {
            assertEquals(emptyList(), engine.ran)
            Memory(1, 2)
        }
        assertEquals(Memory(1, 2), measurement(pass).measure(listOf(work(bundle))).single().memory)
    }

    @Test
    fun `a hot device is waited for, as long as the Job says`() {
        states.addAll(0, listOf(ThermalState.SERIOUS, ThermalState.FAIR))
        val cooled = measured { copy(coolDown = CoolDown(timeoutS = 2.5)) }.coolDown
        assertEquals(listOf<Any?>(2.0, true), listOf(cooled?.waitedS, cooled?.cool))
        states.clear()
        states += ThermalState.CRITICAL
        val hot = measured { copy(coolDown = CoolDown(timeoutS = 2.5)) }.coolDown
        assertEquals(listOf<Any?>(2.5, false), listOf(hot?.waitedS, hot?.cool))
    }
}
