package pocketgan.app

import android.app.Instrumentation
import android.os.Bundle
import java.nio.file.Path
import pocketgan.schema.Job
import pocketgan.schema.Result
import pocketgan.schema.Session
import pocketgan.session.answers

/** As AndroidJUnitRunner numbers them (`InstrumentationResultPrinter`), and ddmlib reads them. */
internal const val STATUS_STARTED = 1
internal const val STATUS_IN_PROGRESS = 2
internal const val STATUS_PASSED = 0
internal const val STATUS_FAILED = -2

private const val RUNNER = "pocketgan"
private val RESULT_LINE = "{\"record\":\"result\"".toByteArray()

/** What is told of a session while an instrumentation carries it out, [tell]ing it by status code and values. */
internal class RunAccount(
    private val session: Session,
    private val results: Path,
    private val tell: (Int, Bundle) -> Unit,
) {
    private val jobs = session.groups.flatMap { it.jobs }
    private val lines = NewLines(results)
    private var answered = 0

    /** Says how many Jobs are answered, where that changed. Nothing is parsed beside what is measured. */
    fun look() {
        val more = lines.count(RESULT_LINE)
        if (more == 0) return
        answered += more
        val values = Bundle()
        values.putString(Instrumentation.REPORT_KEY_IDENTIFIER, RUNNER)
        values.putString(Instrumentation.REPORT_KEY_STREAMRESULT, "\n$answered of ${jobs.size} Jobs are answered")
        tell(STATUS_IN_PROGRESS, values)
    }

    /** Says what became of each Job; returns the sum of it, as JUnit writes it. */
    fun close(error: String?): String {
        val outcomes = answers(results, session.name) { it.job to problemOf(it) }.toMutableList()
        val problems = jobs.mapIndexedNotNull { number, job ->
            // Each answer once: a bundle may be compared with itself.
            val at = outcomes.indexOfFirst { it.first == job }
            val problem = if (at >= 0) outcomes.removeAt(at).second else error ?: "no result of it"
            val values = valuesOf(number, job)
            tell(STATUS_STARTED, values)
            if (problem != null) values.putString("stack", problem)
            tell(if (problem == null) STATUS_PASSED else STATUS_FAILED, values)
            problem
        }
        val count = jobs.size
        return if (problems.isEmpty()) "\nOK ($count test${if (count == 1) "" else "s"})\n"
        else "\nFAILURES!!!\nTests run: $count,  Failures: ${problems.size}\n"
    }

    private fun valuesOf(number: Int, job: Job) = Bundle().apply {
        putString(Instrumentation.REPORT_KEY_IDENTIFIER, RUNNER)
        putString("class", SessionInstrumentation::class.java.name)
        val name = listOfNotNull(job.bundle.take(8), job.entry, job.component, job.concept, "run ${job.run}")
        putString("test", name.joinToString(" "))
        putInt("current", number + 1)
        putInt("numtests", jobs.size)
    }
}

/** Null if it was measured. */
private fun problemOf(result: Result): String? =
    if (result.frames.isNotEmpty()) null else result.errors.joinToString("; ").ifEmpty { "no frames" }
