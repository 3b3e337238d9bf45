package pocketgan.app

import android.app.Activity
import android.app.Instrumentation
import android.content.Intent
import android.os.Bundle
import java.io.File
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import pocketgan.json.InvalidException
import pocketgan.session.SessionFolder

/** Of `am instrument -e`: the session's name, and where else on the phone it lies: a folder, or a ZIP of one. */
internal const val ARGUMENT_SESSION = "session"
internal const val ARGUMENT_FROM = "from"

/** In what it ends with: where the results lie, or why there are none. */
internal const val KEY_RESULTS = "results"
internal const val KEY_ERROR = "error"

private const val LOOK_MS = 1000L
private const val BEGINS_WITHIN_MS = 30_000L

/**
 * Carries out a session for whoever can start instrumentations alone, as device farms do:
 *
 * `am instrument -w -e session NAME [-e from PATH] org.pocketgan.harness/pocketgan.app.SessionInstrumentation`
 *
 * It measures as ever: by the service, with the app in front. Meanwhile it looks once a second, to disturb it little. What
 * became of each Job it tells at the end, in the words of AndroidJUnitRunner, which farms read.
 */
internal open class SessionInstrumentation : Instrumentation() {
    private lateinit var arguments: Bundle

    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        this.arguments = arguments ?: Bundle()
        start()
    }

    override fun onStart() {
        super.onStart()
        val ending = Bundle()
        val error = try {
            val name = arguments.getString(ARGUMENT_SESSION) ?: onlySession()
            val path = sessionPath(targetContext, name) ?: throw IOException("$name is no name of a folder")
            arguments.getString(ARGUMENT_FROM)?.let { takeOver(File(it), path.toFile()) }
            carryOut(name, path, ending)
        } catch (problem: IOException) {
            "${problem.message}"
        } catch (invalid: InvalidException) {
            "session.json is not valid: ${invalid.message}"
        }
        if (error != null) {
            ending.putString(KEY_ERROR, error)
            // What farms and Android Studio show of a run that failed as a whole.
            ending.putString("shortMsg", error)
        }
        finish(if (error == null) Activity.RESULT_OK else Activity.RESULT_CANCELED, ending)
    }

    /** @return why it ended early; null if it did not. */
    private fun carryOut(name: String, path: Path, ending: Bundle): String? {
        if (!Files.isDirectory(path)) throw IOException("no folder $path; -e from names a session elsewhere")
        val session = SessionFolder(path)
        val asked = session.read()
        val account = RunAccount(asked, session.results, ::sendStatus)
        ending.putString(KEY_RESULTS, "${session.results}")
        val error = measure(name, account)
        ending.putString(REPORT_KEY_STREAMRESULT, account.close(error))
        return error
    }

    private fun measure(name: String, account: RunAccount): String? {
        val before = Harness.doing
        val other = (before as? Doing.Measuring)?.session ?: (before as? Doing.Cancelling)?.session
        if (other != null) return "session $other is not over yet"
        targetContext.startActivity(
            Intent(targetContext, HarnessActivity::class.java).addFlags(Intent.FLAG_ACTIVITY_NEW_TASK),
        )
        targetContext.startForegroundService(
            Intent(targetContext, SessionService::class.java).putExtra(EXTRA_SESSION, name),
        )
        val begins = System.currentTimeMillis() + BEGINS_WITHIN_MS
        while (true) {
            val doing = Harness.doing
            if (doing is Doing.Ended && doing !== before) return doing.error
            if (doing === before && System.currentTimeMillis() > begins) return "Android did not start the app's service"
            account.look()
            Thread.sleep(LOOK_MS)
        }
    }

    private fun onlySession(): String {
        val names = sessionsFolder(targetContext)?.toFile()?.list().orEmpty().sorted()
        return names.singleOrNull()
            ?: throw IOException("name a session, -e session NAME; there are: ${names.joinToString().ifEmpty { "none" }}")
    }
}
