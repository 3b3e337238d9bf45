package pocketgan.session

import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import pocketgan.bundle.Bundle
import pocketgan.bundle.BundleException
import pocketgan.bundle.openSessionBundle
import pocketgan.json.InvalidException
import pocketgan.measure.CancelledException
import pocketgan.measure.Measurement
import pocketgan.measure.NanoClock
import pocketgan.measure.Work
import pocketgan.schema.Beat
import pocketgan.schema.End
import pocketgan.schema.Session
import pocketgan.schema.readSession

private const val NS_PER_S = 1e9

/** What the host handed over: `session.json`, `bundles/<digest>/`, and `results.jsonl`, which is written here. */
class SessionFolder(private val folder: Path) {
    /** Where the answers are written. */
    val results: Path get() = folder.resolve("results.jsonl")

    /**
     * The session.
     *
     * @throws InvalidException it is none, or of a newer major version.
     */
    fun read(): Session = readSession(String(Files.readAllBytes(folder.resolve("session.json")), Charsets.UTF_8))

    /**
     * A bundle, whose manifest is verified.
     *
     * @throws BundleException it is damaged or not there.
     */
    fun bundle(digest: String): Bundle = openSessionBundle(folder.resolve("bundles").resolve(digest), digest)
}

/**
 * Carries out what a session asks and `results.jsonl` does not answer yet.
 *
 * @property measurement makes what measures; it is given what to tell of its progress.
 */
class SessionRun(
    private val folder: SessionFolder,
    private val clock: NanoClock,
    private val measurement: (session: String, progress: (String, Long) -> Unit) -> Measurement,
) {
    /** Null if all is done; else why it was ended before, as the last line says too. */
    fun carryOut(): String? = ResultsFile(folder.results).use { results ->
        val error = try {
            val session = folder.read()
            val beats = Beats(results, session, clock)
            Groups(session, results, measurement(session.name, beats::tell)).carryOut()
            null
        } catch (cancelled: CancelledException) {
            "cancelled"
        } catch (error: BundleException) {
            "${error.message}"
        } catch (invalid: InvalidException) {
            "session.json is not valid: ${invalid.message}"
        } catch (error: IOException) {
            "the session folder cannot be read or written: ${error.message ?: error}"
        } catch (fault: RuntimeException) {
            "a fault of the harness: $fault"
        }
        results.end(End(error = error))
        error
    }

    private inner class Groups(val session: Session, val results: ResultsFile, val measurement: Measurement) {
        fun carryOut() {
            val answered = answeredJobs(folder.results, session.name).toMutableList()
            for (group in session.groups) {
                val jobs = group.jobs.filterNot { answered.remove(it) }
                val bundles = HashMap<String, Bundle>()
                try {
                    for (job in jobs) bundles.getOrPut(job.bundle) { folder.bundle(job.bundle) }
                    measurement.measure(jobs.map { Work(it, bundles.getValue(it.bundle)) }).forEach(results::result)
                } finally {
                    bundles.values.forEach { it.close() }
                }
            }
        }
    }
}

/** Signs of life, one in so many seconds at most, so that writing them takes nothing from the frames. */
private class Beats(private val results: ResultsFile, private val session: Session, private val clock: NanoClock) {
    private var last: Long? = null

    fun tell(detail: String, done: Long) {
        val now = clock.now()
        if (last?.let { now - it < session.beatIntervalS * NS_PER_S } == true) return
        last = now
        results.beat(Beat(atNs = now, detail = detail, done = done))
    }
}
