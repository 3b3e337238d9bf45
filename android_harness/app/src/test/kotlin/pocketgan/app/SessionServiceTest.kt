package pocketgan.app

import android.app.Application
import android.content.ComponentName
import android.content.Intent
import android.content.pm.PackageManager
import android.content.pm.ServiceInfo
import android.os.Looper
import java.io.File
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
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
import pocketgan.schema.AppBuild
import pocketgan.schema.DeviceKind
import pocketgan.schema.readResult

private const val LONGEST_MS = 60_000L
private const val ALL_DONE = """{"record":"end","error":null}"""

@RunWith(RobolectricTestRunner::class)
class SessionServiceTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val service = Robolectric.buildService(SessionService::class.java).create().get()
    private val sessions = File(context.getExternalFilesDir(null), "sessions").apply { mkdirs() }

    @Before
    fun offerMemory() {
        val memory = Robolectric.buildService(MemoryService::class.java).create().get()
        val name = ComponentName(context, MemoryService::class.java)
        shadowOf(context).setComponentNameAndServiceForBindService(name, memory.onBind(Intent()))
    }

    @After
    fun forget() = Harness.end("", null)

    private fun start(session: String? = null, action: String? = null) {
        service.onStartCommand(Intent(action).putExtra(EXTRA_SESSION, session), 0, 1)
    }

    private fun ended(): Doing.Ended {
        val limit = System.currentTimeMillis() + LONGEST_MS
        while (Harness.doing !is Doing.Ended && System.currentTimeMillis() < limit) {
            // The main thread hears of the memory that another process measures.
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(20)
        }
        return Harness.doing as Doing.Ended
    }

    /** A session of the exporter's own bundle, which pytest makes (tests/android_harness/test_app.py). */
    private fun handOver(name: String): File {
        val made = System.getProperty("session")
        assumeTrue("no session was made", made != null)
        return File(sessions, name).also { File(made!!).copyRecursively(it) }
    }

    private fun results(folder: File) = File(folder, "results.jsonl").readLines()

    private fun resultIn(line: String) = readResult(line.replaceFirst("\"record\":\"result\",", ""))

    @Test
    fun `only the shell may start it`() {
        val component = ComponentName(context, SessionService::class.java)
        val info = context.packageManager.getServiceInfo(component, PackageManager.GET_META_DATA)
        assertEquals("android.permission.DUMP", info.permission)
        assertEquals(ServiceInfo.FOREGROUND_SERVICE_TYPE_SPECIAL_USE, info.foregroundServiceType)
    }

    @Test
    fun `app asks for no network`() {
        val asked = context.packageManager.getPackageInfo(context.packageName, PackageManager.GET_PERMISSIONS)
        assertFalse("android.permission.INTERNET" in asked.requestedPermissions)
    }

    @Test
    fun `folders outside of the sessions are no session`() {
        File(context.getExternalFilesDir(null), "other").mkdirs()
        for (name in listOf("", ".", "..", "../other", "a/b", "missing")) {
            start(name)
            assertEquals("no folder sessions/$name", ended().error)
        }
    }

    @Test
    fun `session of another version ends with a line that says so`() {
        val folder = File(sessions, "s").apply { mkdirs() }
        File(folder, "session.json").writeText("""{"schema_version": "2.0", "name": "s", "groups": []}""")
        start("s")
        assertTrue("session.json is not valid" in ended().error!!)
        assertTrue("session.json is not valid" in results(folder).last())
    }

    @Test
    fun `folder without a session ends with a line that says so`() {
        val folder = File(sessions, "s").apply { mkdirs() }
        start("s")
        assertTrue("session.json" in ended().error!!)
        assertTrue("session.json" in results(folder).last())
    }

    @Test
    fun `session is measured in the foreground, with the phone's state in its results`() {
        val folder = handOver("s")
        start("s")
        assertTrue(shadowOf(service).lastForegroundNotification != null)
        assertNull(ended().error)
        val lines = results(folder)
        assertEquals(ALL_DONE, lines.last())
        val measured = lines.filter { "\"record\":\"result\"" in it }.map(::resultIn)
        assertTrue(measured.isNotEmpty())
        for (result in measured) {
            assertEquals(emptyList(), result.errors)
            assertEquals(result.job.iterations, result.frames.size.toLong())
            assertEquals(AppBuild.RELEASE, result.appBuild)
            assertEquals(DeviceKind.ANDROID, result.device.kind)
            assertEquals(true, result.conditions.first().screenOn)
            assertTrue(result.memory!!.peakBytes > 0)
            assertTrue(result.placement!!.planned!!.getValue("CPUExecutionProvider") > 0)
        }
        File(folder, "results.jsonl").copyTo(File(System.getProperty("session")!!, "results.jsonl"))
    }

    @Test
    fun `what is measured already is not measured again`() {
        val folder = handOver("s")
        start("s")
        assertNull(ended().error)
        val before = results(folder).size
        start("s")
        assertNull(ended().error)
        assertEquals(listOf(ALL_DONE), results(folder).drop(before))
    }

    @Test
    fun `cancelled session ends early and says so`() {
        val folder = handOver("s")
        start("s")
        start(action = ACTION_CANCEL)
        assertEquals("cancelled", ended().error)
        assertEquals("""{"record":"end","error":"cancelled"}""", results(folder).last())
    }

    @Test
    fun `second session waits for nobody and harms nothing`() {
        handOver("s")
        handOver("other")
        start("s")
        start("other")
        assertEquals(Doing.Ended("s", null), ended())
        assertFalse(File(sessions, "other/results.jsonl").exists())
    }
}
