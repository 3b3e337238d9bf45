package pocketgan.measure

import java.io.Closeable
import java.nio.file.Path
import java.time.Instant
import java.time.temporal.ChronoUnit
import java.util.Locale
import pocketgan.bundle.Bundle
import pocketgan.bundle.BundleException
import pocketgan.bundle.Entry
import pocketgan.bundle.mustHoldFilesOf
import pocketgan.camera.Camera
import pocketgan.camera.CameraRun
import pocketgan.camera.CameraSession
import pocketgan.camera.LivePictures
import pocketgan.schema.Clock
import pocketgan.schema.Conditions
import pocketgan.schema.CooledDown
import pocketgan.schema.Frame
import pocketgan.schema.Job
import pocketgan.schema.JobMode
import pocketgan.schema.MeasuredParity
import pocketgan.schema.Memory
import pocketgan.schema.Placement
import pocketgan.schema.Result
import pocketgan.schema.WarmedUp

/** A frame begins with a picture of 256 levels, the golden input does not: more cannot be asked after the frames. */
private const val FLOOR_AFTER_DB = DEFAULT_FLOOR_DB
private const val CONDITIONS_INTERVAL_NS = 1_000_000_000L

/** One Job with the unpacked bundle that it is about. Its files are verified before they are used. */
class Work(val job: Job, val bundle: Bundle)

/**
 * Measures groups of Jobs whose models take turns.
 *
 * @property process names the process that measures; no other one has that name. Each group adds its number: what took
 *   turns has one name.
 * @property camera of mode camera; null where the device has none that can be measured.
 * @property progress is told, between frames, what is measured and how many frames (of a timed Job: seconds) are done.
 */
class Measurement(
    private val session: String,
    private val process: String,
    private val engines: List<Engine>,
    private val surroundings: Surroundings,
    private val clock: NanoClock,
    private val memory: MemoryPass = MemoryPass { null },
    private val cancellation: Cancellation = Cancellation(),
    private val camera: Camera? = null,
    private val progress: (detail: String, done: Long) -> Unit = { _, _ -> },
) {
    private val loadedBefore = HashSet<Path>()
    private var groups = 0

    /**
     * The Results of a group, in its order. What goes wrong with one model is in the errors of its Result.
     *
     * @throws CancelledException it was asked for; nothing of the group is to be kept.
     */
    fun measure(group: List<Work>): List<Result> {
        groups += 1
        val drafts = group.map { Draft(it) }
        try {
            for (draft in drafts) draft.attempt { prepare(draft) }
            val ready = drafts.filter { it.isReady }
            for (draft in ready) draft.attempt { warmUp(draft) }
            time(ready.filter { it.isReady })
            return drafts.map { it.result() }
        } finally {
            drafts.forEach { it.close() }
        }
    }

    private fun prepare(draft: Draft) {
        val (job, entry) = draft.work.job to draft.entry()
        mustBePossible(job)
        mustHoldFilesOf(draft.work.bundle, entry, job.component, job.concept)
        val engine = engines.engineOf(entry)
        engine.start()
        draft.runtimeVersion = engine.version
        tell(draft, 0)
        draft.coolDown = job.coolDown?.let { waitUntilCool(it, surroundings, clock) { tell(draft, 0) } }
        draft.look()
        val plan = planModel(draft.work.bundle, entry, job)
        val request = ModelRequest(plan, job)
        if (job.coldRepeats > 0) draft.memory = memory.measure(draft.work)
        val before = clock.now()
        val model = TimedModel(plan, engine.load(request), clock)
        val loaded = clock.now()
        draft.model = model
        model.run()
        val ran = clock.now()
        // A process is cold for a model once. Of several in one process the later ones find the runtime warm.
        if (job.coldRepeats > 0 && loadedBefore.add(plan.file)) {
            draft.coldLoadNs += loaded - before
            draft.firstInferenceNs += ran - loaded
        }
        val parity = model.parity()
        draft.parity = parity
        mustReach(plan.floorDb, parity, "from the golden output")
        if (job.coldRepeats > 0) draft.warmLoadNs += warmLoad(engine, request)
        draft.placement = evidence(model.placement, engine, request, plan, clock) { tell(draft, 0) }
        if (job.mode == JobMode.CAMERA) openCamera(draft, model)
    }

    private fun openCamera(draft: Draft, model: TimedModel) {
        val pictures = LivePictures.of(model, clock)
        val session = camera!!.open(pictures.width, pictures.height)
        draft.cameraSession = session
        draft.cameraRun = CameraRun(pictures, session, clock)
        val placement = draft.placement ?: Placement(draft.work.job.provider.name.lowercase())
        draft.placement = placement.copy(observed = listOfNotNull(placement.observed, session.about).joinToString("; "))
    }

    private fun mustBePossible(job: Job) {
        if (job.mode == JobMode.CAMERA && camera == null) throw RefusedException("mode camera needs the app and its camera")
    }

    private fun warmLoad(engine: Engine, request: ModelRequest): Long {
        val started = clock.now()
        val again = engine.load(request)
        return (clock.now() - started).also { again.close() }
    }

    private fun warmUp(draft: Draft) {
        val model = draft.model!!
        var frames = 0L
        draft.warmup = warmUp(draft.work.job.warmup, clock) {
            tell(draft, frames++)
            draft.cameraRun?.let { return@warmUp it.warmUpFrame() }
            val frame = model.frame(0)
            frame.preNs + frame.inferenceNs + frame.postNs
        }
    }

    private fun time(ready: List<Draft>) {
        // What lies about is collected now rather than within a frame.
        System.gc()
        val (timed, counted) = ready.partition { it.work.job.mode.isTimed }
        for (draft in timed) draft.attempt { if (draft.cameraRun == null) sustain(draft) else watch(draft) }
        takeTurns(counted)
        for (draft in ready) draft.attempt { draft.look() }
    }

    /** The models take turns, round by round, as the Jobs of one group ask alike. */
    private fun takeTurns(drafts: List<Draft>) {
        val job = drafts.firstOrNull()?.work?.job ?: return
        val counts = framesOfRounds(job.iterations!!, job.rounds)
        for ((round, order) in turns(drafts.size, counts.size).withIndex()) {
            for (draft in order.map { drafts[it] }.filter { it.isReady }) {
                draft.attempt {
                    // The other model's turn has evicted this one's weights; an app's would be there.
                    if (drafts.size > 1) draft.model!!.frame(round)
                    draft.frames += turn(draft, counts[round], round)
                    if (round == counts.lastIndex) compareAgain(draft)
                }
            }
        }
    }

    private fun turn(draft: Draft, count: Long, round: Int): List<Frame> {
        val model = draft.model!!
        val done = draft.frames.size.toLong()
        if (draft.work.job.mode == JobMode.THROUGHPUT) {
            return overlapping(model, clock, count, round) { tell(draft, done) }
        }
        return List(Math.toIntExact(count)) { number -> model.frame(round).also { tell(draft, done + number + 1) } }
    }

    /** Frame after frame for that long; the device's state about once a second, between frames. */
    private fun sustain(draft: Draft) {
        val model = draft.model!!
        val started = clock.now()
        val end = started + (draft.work.job.durationS!! * NS_PER_S).toLong()
        var lookAgain = started + CONDITIONS_INTERVAL_NS
        var now = started
        while (now < end) {
            draft.frames += model.frame(0)
            now = clock.now()
            tell(draft, (now - started) / CONDITIONS_INTERVAL_NS)
            if (now >= lookAgain) {
                draft.look()
                lookAgain = now + CONDITIONS_INTERVAL_NS
                now = clock.now()
            }
        }
        compareAgain(draft)
    }

    /** From the camera to the screen for that long; the device's state about once a second, between frames. */
    private fun watch(draft: Draft) {
        var lookAgain = CONDITIONS_INTERVAL_NS
        draft.droppedFrames = draft.cameraRun!!.measure((draft.work.job.durationS!! * NS_PER_S).toLong(), draft.frames) {
            tell(draft, it / CONDITIONS_INTERVAL_NS)
            if (it >= lookAgain) {
                draft.look()
                lookAgain = it + CONDITIONS_INTERVAL_NS
            }
        }
        draft.closeCamera()
        // The last frame's picture has no golden output: the golden one goes the same way once more.
        draft.model!!.goldenFrame()
        compareAgain(draft)
    }

    /** Finds work that was only queued, or that went wrong when the device got warm. */
    private fun compareAgain(draft: Draft) {
        val parity = draft.model!!.parity()
        draft.parityAfter = parity
        val floorDb = minOf(draft.model!!.plan.floorDb, FLOOR_AFTER_DB)
        mustReach(floorDb, parity, "from the golden output after the last frame")
    }

    private fun mustReach(floorDb: Double, parity: MeasuredParity, from: String) {
        val db = parity.psnrDb ?: return
        if (db >= floorDb) return
        val line = "wrong output: %.1f dB %s, %.1f dB is the floor"
        throw WrongOutputException(String.format(Locale.ROOT, line, db, from, floorDb))
    }

    private fun tell(draft: Draft, done: Long) {
        cancellation.check()
        progress(draft.detail, done)
    }

    /** A Result in the making. */
    private inner class Draft(val work: Work) : Closeable {
        private val startedAt = Instant.now().truncatedTo(ChronoUnit.SECONDS)
        private val errors = ArrayList<String>()
        val detail = listOfNotNull(work.bundle.manifest.name, work.job.entry, work.job.concept).joinToString(" ")
        var model: TimedModel? = null
        var cameraSession: CameraSession? = null
        var cameraRun: CameraRun? = null
        var droppedFrames: Long? = null
        var runtimeVersion = ""
        var coolDown: CooledDown? = null
        var warmup: WarmedUp? = null
        var memory: Memory? = null
        var parity: MeasuredParity? = null
        var parityAfter: MeasuredParity? = null
        var placement: Placement? = null
        val coldLoadNs = ArrayList<Long>()
        val warmLoadNs = ArrayList<Long>()
        val firstInferenceNs = ArrayList<Long>()
        val frames = ArrayList<Frame>()
        val conditions = ArrayList<Conditions>()

        val isReady: Boolean get() = errors.isEmpty()

        fun entry(): Entry = work.bundle.entry(work.job.entry)

        /** What a runtime throws belongs to this model, not to the others. */
        fun attempt(work: () -> Unit) {
            try {
                work()
            } catch (cancelled: CancelledException) {
                throw cancelled
            } catch (problem: Exception) {
                errors += told(problem)
            } catch (problem: OutOfMemoryError) {
                errors += "out of memory"
            } catch (problem: LinkageError) {
                errors += told(problem)
            }
        }

        /** The device's state now, which must be what the Job asks. */
        fun look() {
            val state = surroundings.conditions()
            conditions += state
            if (isReady) mustSuit(work.job, state)
        }

        /** Read back before the frames and after them; while they run, every look disturbs them. */
        private fun clockReadBack(): Clock? {
            if (conditions.isEmpty()) return null
            val after = conditions.drop(1).lastOrNull()
            return Clock(work.job.clock, conditions.first().frequencyMhz, after?.frequencyMhz)
        }

        /** Sooner than the rest: a camera warms the phone. */
        fun closeCamera() {
            cameraSession?.close()
            cameraSession = null
        }

        override fun close() {
            closeCamera()
            model?.close()
        }

        private fun told(problem: Throwable): String {
            val line = problem.message.orEmpty().trim().lineSequence().first()
            val ours = problem is RefusedException || problem is WrongOutputException || problem is BundleException
            return if (ours) line else "the runtime refused the model: ${problem.javaClass.simpleName} $line".trim()
        }

        fun result() = Result(
            session = session,
            job = work.job,
            bundleName = work.bundle.manifest.name,
            device = surroundings.info,
            runtime = work.bundle.manifest.entries.firstOrNull { it.id == work.job.entry }?.runtime.orEmpty(),
            runtimeVersion = runtimeVersion,
            appBuild = surroundings.appBuild,
            startedAt = "$startedAt",
            process = "$process-$groups",
            coolDown = coolDown,
            warmup = warmup,
            coldLoadNs = coldLoadNs,
            warmLoadNs = warmLoadNs,
            firstInferenceNs = firstInferenceNs,
            frames = frames,
            memory = memory,
            conditions = conditions,
            delegation = work.bundle.manifest.entries.firstOrNull { it.id == work.job.entry }?.delegation,
            parity = parity,
            parityAfter = parityAfter,
            placement = placement,
            clock = clockReadBack(),
            droppedFrames = droppedFrames,
            errors = errors,
        )
    }
}
