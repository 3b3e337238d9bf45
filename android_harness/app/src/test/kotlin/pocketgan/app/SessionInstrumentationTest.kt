package pocketgan.app

import android.app.Activity
import android.app.Application
import android.content.ComponentName
import android.content.Context
import android.content.ContextWrapper
import android.content.Intent
import android.os.Bundle
import java.io.File
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.junit.After
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf

private val ONE_JOB = """{"schema_version": "1.0", "name": "s", "groups": [{"jobs": [{"bundle": "${"0".repeat(64)}", "entry": "e"}]}]}"""

@RunWith(RobolectricTestRunner::class)
class SessionInstrumentationTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val sessions = File(context.getExternalFilesDir(null), "sessions")
    private val service = Robolectric.buildService(SessionService::class.java).create().get()
    private val opened = mutableListOf<Intent>()
    private val statuses = mutableListOf<Pair<Int, Bundle>>()
    private var code = 0
    private lateinit var ending: Bundle

    /** Android around the app: starts what is asked for. */
    private val phone = object : ContextWrapper(context) {
        override fun startActivity(intent: Intent) {
            opened += intent
        }

        override fun startForegroundService(intent: Intent): ComponentName {
            service.onStartCommand(intent, 0, 1)
            return intent.component!!
        }
    }

    private inner class Watched : SessionInstrumentation() {
        override fun getTargetContext(): Context = phone

        override fun start() = onStart()

        override fun sendStatus(resultCode: Int, results: Bundle) {
            statuses += resultCode to Bundle(results)
        }

        override fun finish(resultCode: Int, results: Bundle) {
            code = resultCode
            ending = results
        }
    }

    /** It would answer on the main thread, which is the one that instruments here. */
    @Before
    fun offerNoMemory() =
        shadowOf(RuntimeEnvironment.getApplication())
            .declareComponentUnbindable(ComponentName(RuntimeEnvironment.getApplication(), MemoryService::class.java))

    @After
    fun forget() = Harness.end("", null)

    private fun instrument(vararg arguments: Pair<String, String>) {
        val given = Bundle()
        for ((name, value) in arguments) given.putString(name, value)
        Watched().onCreate(given)
    }

    private fun mustRefuse(line: String) {
        assertEquals(Activity.RESULT_CANCELED, code)
        assertEquals(line, ending.getString("error"))
        assertEquals(line, ending.getString("shortMsg"))
    }

    private fun folder(vararg path: String) = path.fold(context.filesDir, ::File).apply { mkdirs() }

    /** A session of the exporter's own bundle, which pytest makes (tests/android_harness/test_app.py). */
    private fun made(): File {
        val made = System.getProperty("session")
        assumeTrue("no session was made", made != null)
        return folder("made").also { File(made!!).copyRecursively(it) }.also { File(it, "results.jsonl").delete() }
    }

    @Test
    fun `each Job is told of as a test, and where the results lie`() {
        instrument("session" to "farm", "from" to made().path)
        assertEquals(Activity.RESULT_OK, code)
        val results = File(sessions, "farm/results.jsonl")
        assertEquals(results.path, ending.getString("results"))
        assertEquals("\nOK (2 tests)\n", ending.getString("stream"))
        val tests = statuses.filter { it.first != STATUS_IN_PROGRESS }
        assertEquals(listOf(1, 0, 1, 0), tests.map { it.first })
        assertEquals(listOf(1, 1, 2, 2), tests.map { it.second.getInt("current") })
        assertTrue(tests.all { it.second.getInt("numtests") == 2 })
        assertTrue(tests[2].second.getString("test")!!.endsWith(" onnx-fp32-image run 0"))
        assertEquals(2, results.readLines().count { "\"record\":\"result\"" in it })
        assertEquals(HarnessActivity::class.java.name, opened.single().component!!.className)
    }

    @Test
    fun `session in a ZIP is measured, and a Job that fails is a test that fails`() {
        val packed = File(context.filesDir, "session.zip")
        ZipOutputStream(packed.outputStream()).use { zip ->
            val made = made()
            for (file in made.walk().filter { it.isFile }) {
                zip.putNextEntry(ZipEntry(file.relativeTo(made).path))
                zip.write(if (file.extension == "onnx") byteArrayOf(1, 2, 3) else file.readBytes())
            }
        }
        instrument("session" to "farm", "from" to packed.path)
        assertEquals(Activity.RESULT_OK, code)
        assertEquals("\nFAILURES!!!\nTests run: 2,  Failures: 2\n", ending.getString("stream"))
        val failed = statuses.filter { it.first == STATUS_FAILED }
        assertEquals(2, failed.size)
        assertTrue(failed.all { it.second.getString("stack")!!.isNotEmpty() })
    }

    @Test
    fun `session that is there needs no name where it is the only one`() {
        File(sessions, "mine").mkdirs()
        File(sessions, "mine/session.json").writeText("""{"schema_version": "2.0", "name": "s", "groups": []}""")
        instrument()
        assertTrue(ending.getString("error")!!.startsWith("session.json is not valid: "))
        File(sessions, "yours").mkdirs()
        instrument()
        mustRefuse("name a session, -e session NAME; there are: mine, yours")
    }

    @Test
    fun `what is not there is refused in one line`() {
        instrument("session" to "farm")
        mustRefuse("no folder ${File(sessions, "farm")}; -e from names a session elsewhere")
        instrument("session" to "farm", "from" to "/nowhere")
        mustRefuse("/nowhere is not there, or the app may not read it")
        instrument("session" to "../files", "from" to folder("a").path)
        mustRefuse("../files is no name of a folder")
    }

    @Test
    fun `file that is no ZIP, and a ZIP that reaches out, are refused`() {
        val file = File(context.filesDir, "x").apply { writeText("x") }
        instrument("session" to "farm", "from" to file.path)
        assertTrue(ending.getString("error")!!.startsWith("$file is no folder and no ZIP"))
        ZipOutputStream(file.outputStream()).use { zip ->
            zip.putNextEntry(ZipEntry("../../out"))
            zip.write(1)
        }
        instrument("session" to "farm", "from" to file.path)
        mustRefuse("$file: ../../out lies outside of it")
    }

    @Test
    fun `second session at once is refused`() {
        val other = folder("other").also { File(it, "session.json").writeText(ONE_JOB) }
        Harness.begin("first")
        instrument("session" to "farm", "from" to other.path)
        mustRefuse("session first is not over yet")
        assertEquals("session first is not over yet", statuses.last().second.getString("stack"))
    }
}
