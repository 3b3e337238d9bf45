package pocketgan.camera

import java.io.Closeable
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import pocketgan.measure.RefusedException

private const val SECOND_NS = 1_000_000_000L

/** What passes between the threads of camera, computing and screen. */
class HandoverTest {
    private class Item(val number: Int) : Closeable {
        var isClosed = false

        override fun close() {
            isClosed = true
        }
    }

    private val items = List(3) { Item(it) }

    @Test
    fun `the newest frame is taken, those before it are closed and counted`() {
        val place = NewestFrame<Item>()
        items.forEach(place::put)
        assertEquals(2, place.take(0)?.number)
        assertEquals(listOf(true, true, false), items.map { it.isClosed })
        assertEquals(2, place.dropped)
        assertNull(place.take(0))
    }

    @Test
    fun `a frame that comes is waited for`() {
        val place = NewestFrame<Item>()
        val camera = thread {
            Thread.sleep(20)
            place.put(items[1])
        }
        assertEquals(1, place.take(10 * SECOND_NS)?.number)
        camera.join()
        assertEquals(0, place.dropped)
    }

    @Test
    fun `who waits is told the first reason why nothing comes`() {
        val place = NewestFrame<Item>()
        val camera = thread {
            place.fail("taken by another app")
            place.fail("closed")
        }
        assertEquals("taken by another app", assertFailsWith<RefusedException> { place.take(10 * SECOND_NS) }.message)
        camera.join()
    }

    @Test
    fun `nothing is kept once it is closed`() {
        val place = NewestFrame<Item>()
        place.put(items[0])
        place.close()
        place.put(items[1])
        assertEquals(listOf(true, true, false), items.map { it.isClosed })
    }

    @Test
    fun `display times come late and out of order`() {
        val times = DisplayTimes()
        val screen = thread {
            times.tell(1, DisplayTime(20, estimated = false))
            Thread.sleep(20)
            times.tell(0, null)
        }
        assertEquals(listOf(null, DisplayTime(20, estimated = false)), times.await(2, 10 * SECOND_NS))
        screen.join()
    }

    @Test
    fun `what the screen never tells is not waited for without end`() {
        assertEquals(listOf<DisplayTime?>(null), DisplayTimes().await(1, 1_000_000))
    }
}
