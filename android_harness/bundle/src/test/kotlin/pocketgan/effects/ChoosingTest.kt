package pocketgan.effects

import android.app.ActivityManager
import android.app.ApplicationExitInfo
import android.content.pm.PackageInfo
import android.os.Process
import java.io.File
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowActivityManager
import org.robolectric.shadows.ShadowBuild

@RunWith(RobolectricTestRunner::class)
class ChoosingTest {
    private val context = RuntimeEnvironment.getApplication()
    private val clock = ScriptedClock()
    private val root = File(context.noBackupFilesDir, "pocketgan")
    private val unsigned = EffectOptions(null, allowUnsigned = true)

    private fun engine(vararg scripts: Pair<String, Script>) = ScriptedEngine(clock, scripts.toMap())

    private fun open(engine: ScriptedEngine, bundle: ByteArray? = null): Effect = onWorker {
        Effects(context, listOf(engine), unsigned, clock)
            .open("e", bundle?.let { BundleSource.stream("bundle", it.inputStream()) })
    }

    private fun bundleOf(vararg ids: String) = testBundle(*ids.map(::scripted).toTypedArray())

    @Test
    fun `fastest entry is chosen`() {
        val engine = engine("a" to Script(9 * MS), "b" to Script(5 * MS), "c" to Script(7 * MS))
        val effect = open(engine, bundleOf("a", "b", "c"))
        assertEquals("b", effect.entry)
        assertEquals(listOf("b" to 5 * MS, "c" to 7 * MS, "a" to 9 * MS), effect.medianNs.toList())
        assertEquals(setOf("a", "c"), engine.closed.toSet())
    }

    @Test
    fun `all are measured for two seconds together`() {
        val started = clock.now()
        open(engine("a" to Script(5 * MS), "b" to Script(6 * MS)), bundleOf("a", "b"))
        val seconds = (clock.now() - started) / 1e9
        assertTrue(seconds in 1.9..2.2, "$seconds s")
    }

    @Test
    fun `turns are balanced`() {
        val engine = engine("a" to Script(5 * MS), "b" to Script(5 * MS), "c" to Script(5 * MS))
        open(engine, bundleOf("a", "b", "c"))
        val turns = engine.ran.fold(listOf<String>()) { all, one -> if (all.lastOrNull() == one) all else all + one }
        // First each is run once on the golden input; then a round and its reverse, again rotated.
        val expected = "abc" + "abc" + "cba" + "bca" + "acb"
        assertEquals(expected.replace(Regex("(.)\\1"), "$1"), turns.take(13).joinToString("").take(13))
    }

    @Test
    fun `slow ones do not make the choice long`() {
        val started = clock.now()
        val effect = open(engine("a" to Script(400 * MS), "b" to Script(5 * MS)), bundleOf("a", "b"))
        assertEquals("b", effect.entry)
        assertTrue(clock.now() - started < 4_000 * MS)
    }

    @Test
    fun `wrong output is not chosen, however fast`() {
        val wrong = Script(MS, output = { value, _ -> value })
        val effect = open(engine("wrong" to wrong, "right" to Script(50 * MS)), bundleOf("wrong", "right"))
        assertEquals("right", effect.entry)
        assertTrue("wrong output: " in effect.leftOut.getValue("wrong"))
    }

    @Test
    fun `output that goes wrong with time is not chosen`() {
        val tires = Script(MS, output = { value, run -> if (run < 50) -value else value })
        val effect = open(engine("tires" to tires, "right" to Script(50 * MS)), bundleOf("tires", "right"))
        assertEquals("right", effect.entry)
    }

    @Test
    fun `what cannot be loaded or fails is left out, with its reason`() {
        val engine = engine(
            "a" to Script(refuses = "no such provider"),
            "b" to Script(atRun = { if (it > 3) throw IllegalStateException("driver is gone") }),
            "c" to Script(atLoad = { throw UnsatisfiedLinkError("no library for x86") }),
            "d" to Script(90 * MS),
        )
        val effect = open(engine, bundleOf("a", "b", "c", "d"))
        assertEquals("d", effect.entry)
        val expected = mapOf("a" to "no such provider", "b" to "driver is gone", "c" to "no library for x86")
        assertEquals(expected, effect.leftOut)
    }

    @Test
    fun `where nothing runs, the reasons are told`() {
        val problem = assertFailsWith<EffectException> { open(engine("a" to Script(refuses = "no")), bundleOf("a")) }
        assertEquals("bundle negative has no entry that runs here: a: no", problem.message)
    }

    @Test
    fun `entry of a runtime that the app has no engine for is left out`() {
        val other = TestEntry("pte", "executorch", "x".toByteArray())
        val effect = open(engine("a" to Script()), testBundle(scripted("a"), other))
        assertEquals(mapOf("pte" to "this app has no engine for executorch"), effect.leftOut)
    }

    @Test
    fun `choice is remembered`() {
        val bundle = bundleOf("a", "b")
        open(engine("a" to Script(9 * MS), "b" to Script(5 * MS)), bundle).close()
        val later = engine("a" to Script(1 * MS), "b" to Script(5 * MS))
        val effect = open(later)
        assertEquals("b", effect.entry)
        assertEquals(listOf("b" to 5 * MS, "a" to 9 * MS), effect.medianNs.toList())
        assertEquals(emptyList(), later.ran)
    }

    private fun isMeasuredAgainAfter(change: () -> Unit): Boolean {
        open(engine("a" to Script(9 * MS), "b" to Script(5 * MS)), bundleOf("a", "b")).close()
        change()
        return open(engine("a" to Script(1 * MS), "b" to Script(5 * MS))).entry == "a"
    }

    @Test
    fun `an update of Android measures again`() =
        assertTrue(isMeasuredAgainAfter { ShadowBuild.setFingerprint("maker/phone:15/NEW/1:user/release-keys") })

    @Test
    fun `an update of the app measures again`() = assertTrue(isMeasuredAgainAfter { update { longVersionCode += 1 } })

    @Test
    fun `a new installation of the same version measures again`() =
        assertTrue(isMeasuredAgainAfter { update { lastUpdateTime += 1 } })

    @Test
    fun `forgetting measures again`() =
        assertTrue(isMeasuredAgainAfter { Effects(context, emptyList(), unsigned, clock).forget("e") })

    @Test
    fun `a new bundle is measured`() {
        open(engine("a" to Script(9 * MS), "b" to Script(5 * MS)), bundleOf("a", "b")).close()
        val other = testBundle(scripted("a"), scripted("b"), name = "next")
        assertEquals("a", open(engine("a" to Script(1 * MS), "b" to Script(5 * MS)), other).entry)
    }

    private fun update(change: PackageInfo.() -> Unit) =
        shadowOf(context.packageManager).getInternalMutablePackageInfo(context.packageName).change()

    @Test
    fun `remembered entry that no longer loads is chosen anew`() {
        open(engine("a" to Script(9 * MS), "b" to Script(5 * MS)), bundleOf("a", "b")).close()
        val effect = open(engine("a" to Script(9 * MS), "b" to Script(refuses = "no memory")))
        assertEquals("a", effect.entry)
        assertEquals(mapOf("b" to "no memory"), effect.leftOut)
    }

    /** What lies on the disk when the process dies in the middle of [during]: no `finally` runs then. */
    private fun dies(during: (die: () -> Unit) -> Unit) {
        val kept = File(context.cacheDir, "kept").apply { deleteRecursively() }
        during { if (!kept.exists()) root.copyRecursively(kept) }
        assertTrue(kept.exists(), "it did not come so far")
        root.deleteRecursively()
        kept.copyRecursively(root)
    }

    @Test
    fun `engine that ends the app when it loads is left out the next time`() {
        val bundle = bundleOf("a", "b")
        dies { die -> open(engine("a" to Script(), "b" to Script(atLoad = die)), bundle) }
        val next = engine("a" to Script(9 * MS), "b" to Script(5 * MS))
        val effect = open(next, bundle)
        assertEquals("a", effect.entry)
        assertEquals(setOf("a"), next.ran.toSet())
        assertEquals(mapOf("b" to "the app ended while it was tried"), effect.leftOut)
    }

    @Test
    fun `engine that ends the app in the middle of the measurement is left out the next time`() {
        val bundle = bundleOf("a", "b")
        dies { die -> open(engine("a" to Script(), "b" to Script(atRun = { if (it == 9) die() })), bundle) }
        assertEquals("a", open(engine("a" to Script(9 * MS), "b" to Script()), bundle).entry)
    }

    @Test
    fun `engines that end the app one after the other are all left out`() {
        val bundle = bundleOf("a", "b", "c")
        dies { die -> open(engine("a" to Script(atLoad = die), "b" to Script(), "c" to Script()), bundle) }
        dies { die -> open(engine("a" to Script(), "b" to Script(atLoad = die), "c" to Script()), bundle) }
        val effect = open(engine("a" to Script(), "b" to Script(), "c" to Script(9 * MS)), bundle)
        assertEquals("c", effect.entry)
        assertEquals(setOf("a", "b"), effect.leftOut.keys)
    }

    @Test
    fun `chosen engine that ends the app at a later start is left out too`() {
        open(engine("a" to Script(9 * MS), "b" to Script()), bundleOf("a", "b")).close()
        dies { die -> open(engine("a" to Script(9 * MS), "b" to Script(atLoad = die))) }
        assertEquals("a", open(engine("a" to Script(9 * MS), "b" to Script())).entry)
    }

    @Test
    fun `new bundle whose engine ends the app leaves the last one, once it was tried`() {
        open(engine("a" to Script()), bundleOf("a")).close()
        val next = testBundle(scripted("x"), name = "next")
        dies { die -> open(engine("a" to Script(), "x" to Script(atLoad = die)), next) }
        val effect = open(engine("a" to Script(), "x" to Script()), next)
        assertEquals("a", effect.entry)
        assertTrue("x: the app ended while it was tried" in effect.refused!!.message!!)
        assertEquals("a", open(engine("a" to Script(), "x" to Script()), next).entry)
    }

    @Test
    fun `app that someone ended blames no engine, the first time`() {
        val bundle = bundleOf("a", "b")
        val exit = ShadowActivityManager.ApplicationExitInfoBuilder.newBuilder()
            .setPid(Process.myPid()).setReason(ApplicationExitInfo.REASON_USER_REQUESTED).build()
        shadowOf(context.getSystemService(ActivityManager::class.java)).addApplicationExitInfo(exit)
        fun endedOnce() = dies { die -> open(engine("a" to Script(9 * MS), "b" to Script(atLoad = die)), bundle) }
        endedOnce()
        endedOnce()
        assertEquals("a", open(engine("a" to Script(9 * MS), "b" to Script()), bundle).entry)
    }

    @Test
    fun `engine is tried again after someone ended the app`() {
        val bundle = bundleOf("a", "b")
        val exit = ShadowActivityManager.ApplicationExitInfoBuilder.newBuilder()
            .setPid(Process.myPid()).setReason(ApplicationExitInfo.REASON_USER_REQUESTED).build()
        shadowOf(context.getSystemService(ActivityManager::class.java)).addApplicationExitInfo(exit)
        dies { die -> open(engine("a" to Script(9 * MS), "b" to Script(atLoad = die)), bundle) }
        assertEquals("b", open(engine("a" to Script(9 * MS), "b" to Script()), bundle).entry)
    }

    @Test
    fun `an update of the app gives engines that ended it another chance`() {
        val bundle = bundleOf("a", "b")
        dies { die -> open(engine("a" to Script(9 * MS), "b" to Script(atLoad = die)), bundle) }
        update { longVersionCode += 1 }
        assertEquals("b", open(engine("a" to Script(9 * MS), "b" to Script()), bundle).entry)
    }
}
