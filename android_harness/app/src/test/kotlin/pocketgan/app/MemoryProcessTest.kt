package pocketgan.app

import android.app.Application
import android.content.ComponentName
import android.content.Intent
import android.content.pm.PackageManager
import android.os.Binder
import android.os.Looper
import java.io.File
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowProcess
import pocketgan.bundle.openSessionBundle
import pocketgan.measure.RefusedException
import pocketgan.measure.Work
import pocketgan.schema.Memory
import pocketgan.session.SessionFolder

private const val LONGEST_S = 60L

/** What is not seen here: that Android gives the service a process of its own, and that it ends with it. */
@RunWith(RobolectricTestRunner::class)
class MemoryProcessTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val name = ComponentName(context, MemoryService::class.java)

    /** The first Job of the exporter's own session, which pytest makes (tests/android_harness/test_app.py). */
    private fun work(): Work {
        val made = System.getProperty("session")
        assumeTrue("no session was made", made != null)
        val folder = File(made!!).toPath()
        val job = SessionFolder(folder).read().groups.first().jobs.first()
        return Work(job, openSessionBundle(folder.resolve("bundles").resolve(job.bundle), job.bundle))
    }

    /** The main thread hears the answers, so that another one has to ask. */
    private fun measured(work: Work, meanwhile: () -> Unit = {}): Memory? {
        val answer = CompletableFuture.supplyAsync { MemoryProcess(context).measure(work) }
        val limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(LONGEST_S)
        while (!answer.isDone && System.nanoTime() < limit) {
            shadowOf(Looper.getMainLooper()).idle()
            meanwhile()
            Thread.sleep(10)
        }
        return answer.get(0, TimeUnit.SECONDS)
    }

    private fun serve(with: MemoryService) {
        shadowOf(context).setComponentNameAndServiceForBindService(name, with.onBind(Intent()))
    }

    @Test
    fun `memory has a process of its own, which no other app may start`() {
        val info = context.packageManager.getServiceInfo(name, PackageManager.GET_META_DATA)
        assertEquals("${context.packageName}:memory", info.processName)
        assertFalse(info.exported)
    }

    @Test
    fun `a model's peak lies above the runtime's, and the process ends with it`() {
        val service = Robolectric.buildService(MemoryService::class.java).create()
        serve(service.get())
        val memory = measured(work())!!
        assertTrue(memory.runtimeBytes > 0)
        assertTrue(memory.peakBytes >= memory.runtimeBytes)
        assertEquals(emptyList(), shadowOf(context).boundServiceConnections)
        service.destroy()
        assertTrue(ShadowProcess.wasKilled(android.os.Process.myPid()))
    }

    @Test
    fun `a job that cannot be run has no memory, and no error`() {
        serve(Robolectric.buildService(MemoryService::class.java).create().get())
        val work = work()
        assertNull(measured(Work(work.job.copy(entry = "other"), work.bundle)))
    }

    @Test
    fun `a model that kills the process is not loaded into this one`() {
        val work = work()
        // Somebody who never answers.
        shadowOf(context).setComponentNameAndServiceForBindService(name, Binder())
        var told = false
        val died = assertFailsWith<ExecutionException> {
            measured(work) {
                val connection = shadowOf(context).boundServiceConnections.firstOrNull()
                if (connection != null && !told) connection.onServiceDisconnected(name).also { told = true }
            }
        }
        assertTrue(died.cause is RefusedException)
        assertTrue("killed the process" in died.cause!!.message!!)
    }

    @Test
    fun `where the service cannot be bound to, the memory is not known`() {
        shadowOf(context).declareComponentUnbindable(name)
        assertNull(measured(work()))
    }
}
